"""The authors' model: what it is fed, how it is compared, and what is said where it is absent."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
import torch
from torch.nn import functional

from bevformer_eval import model_comparison, weights
from bevformer_eval.data import CAMERAS
from bevformer_eval.data.frames import FrameLoader
from bevformer_eval.data.nuscenes import Dataset, Request, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.errors import ExitCode, UsageError
from bevformer_eval.predict import NativePredictor, Observer, Predictor
from bevformer_eval.upstream import code
from bevformer_eval.upstream.images import Images
from bevformer_eval.upstream.infos import write_infos

INSTALLED = all(find_spec(name) for name in ("mmcv", "mmdet3d", "projects"))
Run = Callable[..., Any]


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path) -> Dataset:
    """Return the default synthetic scenes."""
    return load(DirectorySource(pristine), Request(), tmp_path / "cache")


def _infos(dataset: Dataset, path: Path) -> List[Dict[str, Any]]:
    write_infos(dataset, Images(dataset.source).place, path)
    content = pickle.loads(path.read_bytes())  # noqa: S301 - we wrote it just now
    assert content["metadata"] == {"version": dataset.version}
    return list(content["infos"])


def test_infos_hold_what_the_native_model_is_fed(dataset: Dataset, tmp_path: Path) -> None:
    infos = _infos(dataset, tmp_path / "infos.pkl")
    samples = [sample for scene in dataset.scenes for sample in scene.samples]
    assert [info["token"] for info in infos] == [sample.token for sample in samples]
    assert [info["frame_idx"] for info in infos] == [0, 1, 2, 0, 1, 2]
    for info, sample in zip(infos, samples):
        assert (info["scene_token"], info["prev"]) == (sample.scene_token, sample.prev)
        assert info["ego2global_rotation"] == list(sample.ego2global.rotation)
        assert list(info["cams"]) == list(CAMERAS)
        np.testing.assert_array_equal(info["can_bus"], sample.can_bus)
        for camera, expected in zip(CAMERAS, sample.lidar2img):
            found = _projection(info["cams"][camera])
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


def _projection(camera: Dict[str, Any]) -> np.ndarray:
    """Return lidar2img for the halved image, as upstream's dataset and pipeline make it."""
    to_camera = np.eye(4)
    to_camera[:3, :3] = np.linalg.inv(camera["sensor2lidar_rotation"])
    to_camera[:3, 3] = -to_camera[:3, :3] @ camera["sensor2lidar_translation"]
    pinhole = np.eye(4)
    pinhole[:3, :3] = camera["cam_intrinsic"]
    return np.diag([0.5, 0.5, 1.0, 1.0]) @ pinhole @ to_camera


def test_images_lie_where_the_infos_say(dataset: Dataset, tmp_path: Path) -> None:
    info = _infos(dataset, tmp_path / "infos.pkl")[0]
    assert all(Path(camera["data_path"]).is_file() for camera in info["cams"].values())


class _Archive:
    """The same files as a directory's, but not as files of the file system."""

    def __init__(self, inside: DirectorySource) -> None:
        self.name, self._inside = "archive", inside
        self.open = inside.open


def test_images_in_an_archive_are_files_for_as_long_as_they_are_needed(dataset: Dataset) -> None:
    images = Images(_Archive(dataset.source))  # type: ignore[arg-type]
    sample = dataset.scenes[0].samples[0]
    places = [Path(images.place(path)) for path in sample.images.values()]
    assert not any(place.exists() for place in places)
    with images.ready(sample):
        read = [place.read_bytes() for place in places]
    assert read == [dataset.source.open(path).read() for path in sample.images.values()]
    assert not any(place.exists() for place in places)


class _Pooled(torch.nn.Module):
    """Stands for the backbone, which takes nine tenths of the time."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(images, (15, 25)).repeat(1, 683, 1, 1)[:, :2048]


@pytest.mark.parametrize(("seed", "passed"), [(0, True), (1, False)], ids=["same", "other"])
def test_models_are_compared_sample_by_sample(dataset: Dataset, seed: int, *, passed: bool) -> None:
    scene = replace(dataset.scenes[0], samples=dataset.scenes[0].samples[:2])
    short = replace(dataset, scenes=[scene])

    def factory(seed: int) -> Callable[[Observer], Predictor]:
        model = model_comparison.native_model(weights.seeded_state_dict(seed), "cpu")
        model.img_backbone = _Pooled()
        loader = FrameLoader(short.source, workers=1)
        return lambda observe: NativePredictor(model, "cpu", loader, observer=observe)

    rows = model_comparison.compare_predictors(factory(seed), factory(0), short, lambda: None)
    assert [row.name for row in rows[:6]] == [
        "can_bus 0", "lidar2img 0", "cls_scores 0", "bbox_preds 0", "bev 0", "detections 0",
    ]  # fmt: skip
    assert len(rows) == 12
    inputs = [row for row in rows if row.name.startswith(("can_bus", "lidar2img"))]
    assert all(row.passed for row in inputs)
    assert all(row.passed for row in rows if row not in inputs) is passed


def test_a_real_frame_is_passed_in_steps_across_north() -> None:
    vectors = model_comparison.motion()
    assert [vector.shape for vector in vectors] == [(18,)] * 3
    degrees = [vector[17] for vector in vectors]
    assert (degrees[0] < 360, degrees[-1] > 0, degrees[0] > degrees[-1]) == (True, True, True)
    np.testing.assert_allclose([vector[16] for vector in vectors], np.radians(degrees))


@pytest.mark.skipif(INSTALLED, reason="this installation holds the authors' code")
@pytest.mark.parametrize(
    "words", [["run", "--synthetic", "--model", "upstream"], ["compare-models"]]
)
def test_their_absence_is_one_line(run: Run, tmp_path: Path, words: List[str]) -> None:
    found, out, err = run(*words, "--work-dir", tmp_path / "work")
    assert (found, out) == (ExitCode.USAGE, "")
    lines = err.splitlines()
    assert lines[0].startswith("error: this image does not hold the authors' code")
    assert "bevformer" in lines[0]
    assert lines[1:] == [" hint: use --model native, or an image that has it"]


def test_a_part_of_them_is_not_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("mmcv", "mmdet", "mmseg", "mmdet3d", "projects"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"bevformer is not installed"):
        code.require()  # the plugin's configuration is not there


@pytest.mark.skipif(not INSTALLED, reason="this installation lacks the authors' code")
def test_the_native_model_equals_the_authors_own(run: Run, tmp_path: Path) -> None:
    words = ("--scenes", "1", "--samples", "2", "--device", "cpu", "--json")
    found, out, _ = run("compare-models", *words, "--work-dir", tmp_path)
    report = json.loads(out)
    assert [row for row in report["arrays"] if not row["passed"]] == []
    assert (found, report["passed"], len(report["arrays"])) == (ExitCode.OK, True, 12)
