"""Reading nuScenes: what is read, and how every fault is named before the first frame."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Callable, Dict, List

import cv2
import numpy as np
import pytest

from bevformer_eval.data import CAMERAS, RigidTransform, can_bus
from bevformer_eval.data.frames import FrameLoader
from bevformer_eval.data.images import decode, load_images, preprocess
from bevformer_eval.data.infos import read_can_bus
from bevformer_eval.data.nuscenes import Request, load, matrix
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.data.tables import rows
from bevformer_eval.errors import DataError, EvalError, UsageError


@pytest.fixture
def samples(pristine: Path, tmp_path: Path) -> Dict[str, object]:
    dataset = load(DirectorySource(pristine), Request(), tmp_path)
    return {sample.token: sample for scene in dataset.scenes for sample in scene.samples}


def test_scenes_keep_their_samples_in_time_order(pristine: Path, tmp_path: Path) -> None:
    dataset = load(DirectorySource(pristine), Request(), tmp_path)
    assert [(scene.name, len(scene.samples)) for scene in dataset.scenes] == [
        ("scene-0103", 3),
        ("scene-0916", 3),
    ]
    for scene in dataset.scenes:
        previous = ""
        for sample in scene.samples:
            assert sample.prev == previous
            previous = sample.token


def test_tables_are_reduced_and_read_again_from_the_cache(data: Path, tmp_path: Path) -> None:
    first = load(DirectorySource(data), Request(), tmp_path / "cache")
    assert {name: len(first.tables[name]) for name in ("scene", "sample", "sample_data")} == {
        "scene": 2,
        "sample": 6,
        "sample_data": 42,
    }
    again = load(DirectorySource(data), Request(), tmp_path / "cache")
    assert again.tables == first.tables


def test_a_changed_table_is_read_anew(data: Path, tmp_path: Path) -> None:
    load(DirectorySource(data), Request(), tmp_path / "cache")
    file = data / "v1.0-mini" / "ego_pose.json"
    poses = json.loads(file.read_text())
    for pose in poses:
        pose["translation"][0] += 1000
    file.write_text(json.dumps(poses))
    moved = load(DirectorySource(data), Request(), tmp_path / "cache")
    before = {pose["token"]: pose["translation"][0] for pose in poses}
    assert all(row["translation"][0] == before[row["token"]] for row in moved.tables["ego_pose"])


def test_sweeps_and_other_sensors_are_left_out(data: Path, tmp_path: Path) -> None:
    file = data / "v1.0-mini" / "sample_data.json"
    records = json.loads(file.read_text())
    sweep = {**records[7], "token": "sweep", "is_key_frame": False, "filename": "sweeps/none.jpg"}
    records[7]["prev"] = "sweep"
    file.write_text(json.dumps([*records, sweep]))
    dataset = load(DirectorySource(data), Request(), tmp_path / "cache")
    tokens = {row["token"] for row in dataset.tables["sample_data"]}
    assert len(tokens) == 42
    assert {row["prev"] for row in dataset.tables["sample_data"]} <= tokens | {""}


def _edit(name: str, change: Callable[[List[dict]], None]) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        file = root / "v1.0-mini" / f"{name}.json"
        records = json.loads(file.read_text())
        change(records)
        file.write_text(json.dumps(records))

    return act


def _cut(path: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        file = next(root.glob(path))
        file.write_bytes(file.read_bytes()[:-300])

    return act


def _remove(pattern: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


def _drop_channel(records: List[dict]) -> None:
    records[:] = [row for row in records if "CAM_BACK__" not in row["filename"]]


FAULTS = [
    ("no tables", _remove("v1.0-mini"), Request(), "no nuScenes tables"),
    ("one table", _remove("v1.0-mini/ego_pose.json"), Request(), "lacks the tables ego_pose"),
    ("cut table", _cut("v1.0-mini/sample_data.json"), Request(), "sample_data.json is cut off"),
    ("empty table", _edit("sample", list.clear), Request(), "scene-0103 has no sample"),
    ("other version", lambda _: None, Request("v1.0-trainval"), "has no tables of v1.0-trainval"),
    ("other split", lambda _: None, Request(split="val"), "'val' does not go with v1.0-mini"),
    ("absent split", lambda _: None, Request(split="mini_train"), "0 of 8 scenes of mini_train"),
    ("one scene", _edit("scene", lambda rows: rows.pop()), Request(), "1 of 2 scenes of mini_val"),
    ("no CAN bus", _remove("can_bus"), Request(), "no CAN bus for 2 of 2 scenes"),
    ("half CAN bus", _remove("can_bus/scene-0916*"), Request(), "can_bus/scene-0916_pose.json"),
    ("cut CAN bus", _cut("can_bus/scene-0916*"), Request(), "scene-0916_pose.json is cut off"),
    ("no camera", _edit("sample_data", _drop_channel), Request(), "no sample_data for CAM_BACK"),
    ("no images", _remove("samples/CAM_BACK"), Request(), "6 of 36 camera images are missing"),
    ("one image", _remove("samples/CAM_FRONT/*103*0.jpg"), Request(), "camera images are missing"),
]


@pytest.mark.parametrize(
    ("breaks", "request_", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_faults_are_named(
    data: Path, tmp_path: Path, breaks: Callable[[Path], None], request_: Request, message: str
) -> None:
    breaks(data)
    with pytest.raises(EvalError) as caught:
        load(DirectorySource(data), request_, tmp_path / "cache")
    assert message in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_partial_evaluates_what_is_there(data: Path, tmp_path: Path) -> None:
    _edit("scene", lambda rows: rows.pop())(data)
    dataset = load(DirectorySource(data), Request(partial=True), tmp_path / "cache")
    assert [scene.name for scene in dataset.scenes] == ["scene-0103"]


def test_can_bus_beside_the_data_root(data: Path, tmp_path: Path) -> None:
    """Upstream keeps data/can_bus beside data/nuscenes."""
    (data / "can_bus").rename(data.parent / "can_bus")
    assert load(DirectorySource(data), Request(), tmp_path / "cache").size == 6


def _message(utime: int, value: float) -> can_bus.Message:
    return {
        "accel": [value] * 3,
        "orientation": [1.0, 0.0, 0.0, 0.0],
        "pos": [9.0, 9.0, 9.0],
        "rotation_rate": [value + 0.1] * 3,
        "utime": utime,
        "vel": [value + 0.2] * 3,
    }


@pytest.mark.parametrize(
    ("timestamp", "taken"),
    [(5, 10.0), (10, 20.0), (15, 20.0), (29, 30.0), (30, 30.0), (99, 30.0)],
    ids=["before all", "at one", "between", "before last", "at last", "after all"],
)
def test_the_message_after_the_keyframe_counts(
    pristine: Path, timestamp: int, taken: float
) -> None:
    messages = [_message(utime, float(utime)) for utime in (10, 20, 30)]
    source = DirectorySource(pristine)
    found = can_bus.vector(source, "scene-0103", messages, timestamp)
    wanted = [0.0] * 7 + [taken] * 3 + [taken + 0.1] * 3 + [taken + 0.2] * 3 + [0.0] * 2
    assert found.tolist() == wanted


def test_scenes_without_can_bus_get_zeros_as_upstream(pristine: Path) -> None:
    source = DirectorySource(pristine)
    assert can_bus.read_messages(source, "scene-0161") == []
    assert not can_bus.vector(source, "scene-0161", [], 5).any()
    assert can_bus.problems(source, ["scene-0161", "scene-0169"]) == ["scene-0169"]
    assert len(can_bus.WITHOUT_CAN_BUS) == 21


@pytest.mark.parametrize(
    ("quaternion", "degrees"),
    [((1, 0, 0, 0), 0.0), ((1, 0, 0, 1), 90.0), ((1, 0, 0, -1), 270.0), ((0, 0, 0, 1), 180.0)],
    ids=["ahead", "left", "right", "back"],
)
def test_heading_is_from_0_to_360(quaternion: tuple, degrees: float) -> None:
    pose = RigidTransform((1.0, 2.0, 3.0), quaternion)
    found = can_bus.with_pose(np.zeros(18), pose)
    assert found[:7].tolist() == [1.0, 2.0, 3.0, *[quaternion[0]] * 4]  # upstream's quirk
    assert found[-1] == pytest.approx(degrees)
    assert found[-2] == pytest.approx(np.radians(degrees))


def test_matrix_needs_no_unit_quaternion() -> None:
    pose, scaled = (RigidTransform((1, 2, 3), tuple(f * q for q in (3, 1, -2, 5))) for f in (1, 7))
    assert np.allclose(matrix(pose), matrix(scaled))


def test_rows_are_decoded_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bevformer_eval.data.tables._CHUNK", 7)
    wanted = [{"token": "a}],[{", "x": [1, {"y": '\u00e9"'}]}, {"token": "b"}, {}]
    (tmp_path / "t.json").write_text(json.dumps(wanted, indent=1, ensure_ascii=False))
    assert list(rows(DirectorySource(tmp_path), "t.json")) == wanted


@pytest.mark.parametrize("text", ["", "{}", "[{}", "[1]", '[{"a": 1}, {"b"'], ids=repr)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match="cut off or not a nuScenes table"):
        list(rows(DirectorySource(tmp_path), "t.json"))


def test_images_come_in_the_models_order(pristine: Path, samples: Dict[str, object]) -> None:
    sample = next(iter(samples.values()))
    images = load_images(DirectorySource(pristine), sample)
    assert images.shape == (6, 900, 1600, 3)
    for camera, image in zip(CAMERAS, images):
        assert f"/{camera}/" in sample.images[camera]
        assert np.array_equal(image, cv2.imread(str(pristine / sample.images[camera])))


def test_preprocess_normalises_then_halves_then_pads() -> None:
    image = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    found = preprocess([image])
    assert found.shape == (1, 3, 480, 800)
    assert found.dtype == np.float32
    assert not found[:, :, 450:].any()
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    rgb = (image[..., ::-1].astype(np.float64) - mean) / std
    halved = rgb.reshape(450, 2, 800, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(found[0, :, :450] - halved).max() < 1e-6


def test_smaller_images_are_padded_to_whole_cells() -> None:
    image = np.full((900, 1600, 3), (103.53, 116.28, 123.675), np.float32) + 57
    found = preprocess([image], 0.05)
    assert found.shape == (1, 3, 64, 96)
    assert np.abs(found[0, :, :45, :80] - 1).max() < 0.03
    assert not found[:, :, 45:].any()
    assert not found[:, :, :, 80:].any()


def test_a_frame_has_the_projection_of_its_scale(
    pristine: Path, samples: Dict[str, object]
) -> None:
    sample = next(iter(samples.values()))
    frames = [
        next(FrameLoader(DirectorySource(pristine), 1, scale).frames([sample]))
        for scale in (0.5, 0.05)
    ]
    assert [frame.images.shape for frame in frames] == [(6, 3, 480, 800), (6, 3, 64, 96)]
    assert np.array_equal(frames[0].lidar2img, sample.lidar2img)
    expected = sample.lidar2img.copy()
    expected[:, :2] /= 10
    np.testing.assert_allclose(frames[1].lidar2img, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("data_", "message"),
    [
        (b"", "cut off or not a JPEG"),
        (b"GIF89a", "cut off or not a JPEG"),
        (cv2.imencode(".jpg", np.zeros((9, 16, 3), np.uint8))[1].tobytes(), "16x9, not 1600x900"),
    ],
    ids=["empty", "no JPEG", "other size"],
)
def test_bad_images_are_named(data_: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(data_, "x.jpg")


def _infos(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_upstreams_pickle_gives_its_can_bus(
    pristine: Path, tmp_path: Path, samples: Dict[str, object], protocol: int
) -> None:
    infos = [
        {"token": token, "can_bus": np.arange(18.0) + step, "gt_names": np.array(["car"])}
        for step, token in enumerate(samples)
    ]
    file = _infos(tmp_path / "i.pkl", {"infos": infos, "metadata": {"version": "v1.0"}}, protocol)
    dataset = load(DirectorySource(pristine), Request(infos=file), tmp_path)
    for step, sample in enumerate(s for scene in dataset.scenes for s in scene.samples):
        assert sample.can_bus[7:16].tolist() == (np.arange(7.0, 16.0) + step).tolist()
        assert sample.can_bus[:3].tolist() == list(sample.ego2global.translation)


class _Hostile:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch executed",))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"infos": [], "x": _Hostile()}, "nothing of it was executed: it asks for posix.system"),
        ([1, 2], "not an info file"),
        ({"infos": [{"token": "a", "can_bus": np.zeros(7)}]}, "can_bus is not 18 numbers"),
        ({"infos": [{"token": "a", "can_bus": np.zeros(18)}]}, "made without the CAN bus"),
    ],
    ids=["hostile", "other", "other length", "zeros"],
)
def test_bad_pickles_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        read_can_bus(_infos(tmp_path / "i.pkl", value))
    assert not (tmp_path / "executed").exists()


def test_a_pickle_of_another_split_is_named(pristine: Path, tmp_path: Path) -> None:
    file = _infos(tmp_path / "i.pkl", {"infos": [{"token": "a", "can_bus": np.ones(18)}]})
    with pytest.raises(DataError, match="3 samples of scene-0103 are not in it"):
        load(DirectorySource(pristine), Request(infos=file), tmp_path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a directory"):
        DirectorySource(tmp_path / "none")
    with pytest.raises(DataError, match="no such file"):
        DirectorySource(tmp_path).open("x.json")


def test_usage_errors_are_no_data_errors(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load(DirectorySource(data), Request(split="test"), tmp_path / "cache")
