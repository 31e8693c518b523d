"""The compiled ops equal their definitions, and the model the authors' own outputs."""

import json
from collections.abc import Mapping, Sequence

import pytest

from builder.cli import wiring
from builder.commands.build import Order

from .conftest import Record, Run

_FRAME = "/frame"
_GOLDEN = "/golden"
# What an op wheel must bring: every compiled extension of it is loaded.
_MODULES = {
    "mmcv-full": "mmcv.ops",
    "mmdet": "mmdet.apis",
    "mmsegmentation": "mmseg",
    "mmdet3d": "mmdet3d.ops",
    "detectron2": "detectron2._C",
    "bevformer": "projects.mmdet3d_plugin",
}
_ARGUMENTS = ("--work-dir", "/tmp/eval", "--json")  # noqa: S108

# mmcv.ops itself would draw in torchvision, of which the index has no build for every cell.
_COMPILED = """
import json, torch
from mmcv import _ext
boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 10, 4.0]])
scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
kept = _ext.nms(boxes, scores, iou_threshold=0.5, offset=0).tolist()
image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
whole = torch.tensor([[0, 0.0, 0.0, 16.0, 16.0]])
pooled, none = torch.zeros(1, 3, 8, 8), torch.zeros(0)
_ext.roi_align_forward(image, whole, pooled, none, none, aligned_height=8, aligned_width=8,
                       spatial_scale=1.0, sampling_ratio=2, pool_mode=1, aligned=True)
average = torch.nn.functional.avg_pool2d(image, 2)
print(json.dumps({"nms": kept, "roi_align": float((pooled - average).abs().max())}))
"""


@pytest.mark.level("L1")
def test_deformable_attention_equals_its_definition(run: Run, record_property: Record) -> None:
    report = json.loads(run("bevformer-eval", "check-ops", "--require-mmcv", "--json"))
    rows = [
        f"{row['implementation']} on {row['device']}: forward {row['forward']:.1e}"
        for row in report["rows"]
    ]
    record_property("seen", "; ".join(rows))


@pytest.mark.level("L1")
def test_compiled_ops_equal_their_definitions(run: Run, record_property: Record) -> None:
    found = json.loads(run("python", "-W", "ignore", "-c", _COMPILED))
    record_property("seen", f"nms equal, roi_align within {found['roi_align']:.1e}")
    assert found["nms"] == [0, 2, 3]  # the second box covers 0.81 of the first, the last 0.4
    assert found["roi_align"] < 1e-6


@pytest.mark.level("L1")
@pytest.mark.optional
def test_the_authors_distributions_are_importable(order: Order, run: Run) -> None:
    modules = [_MODULES[name] for name in order.recipe.ops if name in _MODULES]
    if "bevformer" not in order.recipe.ops:
        pytest.skip("the image holds no code of the authors")
    run("python", "-W", "ignore", "-c", "import torch, " + ", ".join(modules))


@pytest.mark.level("L2")
def test_synthetic_scenes_equal_the_golden_detections(run: Run, record_property: Record) -> None:
    options = ("--synthetic", "--seed", "0", "--check-golden", *_ARGUMENTS)
    report = json.loads(run("bevformer-eval", "run", *options))
    record_property("seen", _worst(report["golden"]["arrays"]))


@pytest.mark.level("L2")
@pytest.mark.optional
def test_the_authors_code_gives_the_golden_detections(
    order: Order, run: Run, record_property: Record
) -> None:
    if "bevformer" not in order.recipe.ops:
        pytest.skip("the image holds no code of the authors")
    options = ("--synthetic", "--seed", "0", "--model", "upstream", "--check-golden", *_ARGUMENTS)
    report = json.loads(run("bevformer-eval", "run", *options))
    record_property("seen", _worst(report["golden"]["arrays"]))


@pytest.mark.level("L2")
def test_the_ground_truth_scores_one(run: Run, record_property: Record) -> None:
    options = ("--synthetic", "--ground-truth", "--expect-map", "1.0", "--tolerance", "1e-9")
    report = json.loads(run("bevformer-eval", "run", *options, *_ARGUMENTS))
    record_property("seen", f"mAP {report['metrics']['mAP']:.6f}")


@pytest.mark.level("L2")
@pytest.mark.optional
def test_a_real_frame_equals_the_authors_outputs(run: Run, record_property: Record) -> None:
    data = wiring.root().parent / "shared" / "data"
    frame, golden = data / "nuscenes_frame", data / "golden"
    if not frame.is_dir():
        pytest.skip("no real frame in ../shared/data")
    command = ("bevformer-eval", "compare-golden", _FRAME, f"{_GOLDEN}/upstream_seed0.npz")
    mounts = {frame.resolve(): _FRAME, golden.resolve(): _GOLDEN}
    report = json.loads(run(*command, "--json", mounts=mounts))
    record_property("seen", _worst(report["arrays"]))


def _worst(arrays: Sequence[Mapping[str, object]]) -> str:
    """Name the array that deviates most, by the share of its tolerance that it uses."""
    share, name = max((float(str(row["of_tolerance"])), str(row["name"])) for row in arrays)
    return f"{len(arrays)} arrays, {name} uses most of its tolerance: {share:.1%}"
