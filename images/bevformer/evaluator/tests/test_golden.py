"""`compare-golden`: agreement is recognised, and so is every kind of disagreement."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest
import torch

from bevformer_eval import golden
from bevformer_eval.errors import DataError, ExitCode
from bevformer_eval.model import Detections, Output

# A real nuScenes frame and what the authors' code returned for it lie beside the checkout: their
# licence does not let them into it.
_BESIDE = Path(__file__).resolve().parents[4].parent / "shared" / "data"
DATA = Path(os.environ.get("BEVFORMER_EVAL_TEST_DATA", str(_BESIDE)))
FRAME, GOLDEN = DATA / "nuscenes_frame", DATA / "golden" / "upstream_seed0.npz"
needs_frame = pytest.mark.skipif(not GOLDEN.exists(), reason=f"{GOLDEN} is not there")


@needs_frame
def test_the_model_equals_the_authors_code_on_a_real_frame() -> None:
    report = golden.compare(FRAME, GOLDEN, seed=0)
    assert report.passed, report.table()
    assert len(report.rows) == 9
    assert max(row.of_tolerance for row in report.rows if row.name[:3] in ("cls", "bbo")) < 0.1


@needs_frame
def test_another_frame_differs() -> None:
    arrays = golden.load_golden(GOLDEN)
    shifted = {name.replace("_0", "_1"): value for name, value in arrays.items() if "_0" in name}
    output = Output(*(torch.from_numpy(np.float32(arrays[name])) for name in _LAST_STEP))
    assert all(row.passed for row in golden.compare_step(1, output, arrays))
    assert not any(row.passed for row in golden.compare_step(1, output, shifted))


_LAST_STEP = ("all_cls_scores_1", "all_bbox_preds_1", "bev_embed_1")


def _detections(count: int = 5) -> Detections:
    generator = torch.Generator().manual_seed(0)
    boxes = 10 * torch.randn(count, 9, generator=generator)
    boxes[:, 6] = torch.linspace(-3, 3, count)
    return Detections(boxes, torch.linspace(0.9, 0.1, count), torch.arange(count) % 10)


def _swap_tie(found: Detections) -> None:
    found.scores[1] = found.scores[2] + 5e-7
    for part in found:
        part[[1, 2]] = part[[2, 1]]


def _swap_apart(found: Detections) -> None:
    for part in found:
        part[[1, 2]] = part[[2, 1]]


def _move(found: Detections) -> None:
    found.boxes[3, 0] += 1.0


def _relabel(found: Detections) -> None:
    found.labels[3] += 1


def _rescore(found: Detections) -> None:
    found.scores[0] += 0.01


def _double(found: Detections) -> None:
    for part in found:
        part[1] = part[0]


def _nan(found: Detections) -> None:
    found.boxes[0, 0] = math.nan


def _same(found: Detections) -> None:
    del found


def _around(found: Detections) -> None:
    found.boxes[4, 6] -= 2 * math.pi


CHANGES = {
    "the same": (_same, True),
    "a yaw once around": (_around, True),
    "a tie in other places": (_swap_tie, True),
    "other places without a tie": (_swap_apart, False),
    "a box elsewhere": (_move, False),
    "another label": (_relabel, False),
    "another score": (_rescore, False),
    "one detection twice": (_double, False),
    "a box that is not finite": (_nan, False),
}


@pytest.mark.parametrize(("change", "passed"), CHANGES.values(), ids=list(CHANGES))
def test_detections_match_one_to_one(change: Callable[[Detections], None], *, passed: bool) -> None:
    expected, found = _detections(), _detections()
    if change is _swap_tie:
        expected.scores[1] = expected.scores[2] + 5e-7
    change(found)
    assert golden.compare_detections("detections", found, expected).passed is passed


def test_fewer_detections_do_not_pass() -> None:
    row = golden.compare_detections("detections", _detections(4), _detections(5))
    assert (row.passed, row.note) == (False, "4 detections, golden 5")


@pytest.mark.parametrize(
    ("found", "passed"),
    [(1.0, True), (1.0011, True), (1.0013, False), (math.nan, False), (math.inf, False)],
)
def test_arrays_are_held_to_the_tolerance(found: float, *, passed: bool) -> None:
    assert golden.compare_array("a", np.array([2.0, found]), np.array([2.0, 1.0])).passed is passed


def test_arrays_of_another_shape_do_not_pass() -> None:
    assert not golden.compare_array("a", np.zeros(3), np.zeros(4)).passed


def test_motion_is_the_change_between_frames() -> None:
    first, second = np.arange(18.0), 3 * np.arange(18.0)
    changes = golden.ego_motion([first, second])
    expected = [first.copy(), second.copy()]
    expected[0][[0, 1, 2, 17]] = 0
    expected[1][[0, 1, 2, 17]] = [0, 2, 4, 34]
    assert [change.tolist() for change in changes] == [change.tolist() for change in expected]
    assert first.tolist() == np.arange(18.0).tolist()


def _no_json(frame: Path, _: Path) -> None:
    (frame / "frame.json").unlink()


def _cut_json(frame: Path, _: Path) -> None:
    (frame / "frame.json").write_text("{")


def _no_camera(frame: Path, _: Path) -> None:
    content = json.loads((frame / "frame.json").read_text())
    del content["images"]["CAM_BACK"]
    (frame / "frame.json").write_text(json.dumps(content))


def _no_image(frame: Path, _: Path) -> None:
    next(frame.glob("*CAM_BACK__*.jpg")).unlink()


def _no_golden(_: Path, path: Path) -> None:
    path.unlink()


def _cut_golden(_: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _text_golden(_: Path, path: Path) -> None:
    path.write_text("no arrays")


def _pickled_golden(_: Path, path: Path) -> None:
    np.savez(str(path), lidar2img=np.array([{}], dtype=object))


def _other_golden(_: Path, path: Path) -> None:
    np.savez(str(path), something=np.zeros(3))


FAULTS: Dict[str, Callable[[Path, Path], None]] = {
    "no frame.json": _no_json,
    "a cut frame.json": _cut_json,
    "a camera is absent": _no_camera,
    "an image is absent": _no_image,
    "no golden file": _no_golden,
    "a cut golden file": _cut_golden,
    "a text": _text_golden,
    "pickled arrays": _pickled_golden,
    "other arrays": _other_golden,
}


@needs_frame
@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_bad_input_is_named(tmp_path: Path, fault: Callable[[Path, Path], None]) -> None:
    frame, path = tmp_path / "frame", tmp_path / "golden.npz"
    frame.mkdir()
    for source in FRAME.iterdir():
        shutil.copyfile(str(source), str(frame / source.name))
    shutil.copyfile(str(GOLDEN), str(path))
    fault(frame, path)
    with pytest.raises(DataError) as caught:
        golden.compare(frame, path)
    assert caught.value.exit_code == ExitCode.DATA
    assert "\n" not in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint
