"""The compiled op equals its definition, and the model the authors' own outputs."""

import json
from pathlib import Path

import pytest

from builder.cli import wiring

from .conftest import Record, Run

_FRAME = "/frame"
_GOLDEN = "/golden"
_ARGUMENTS = ("--work-dir", "/tmp/eval", "--json")  # noqa: S108


@pytest.mark.level("L1")
def test_the_compiled_op_equals_its_definition(run: Run, record_property: Record) -> None:
    report = json.loads(run("bevformer-eval", "check-ops", "--require-mmcv", "--json"))
    record_property("seen", json.dumps(report, sort_keys=True)[:300])


@pytest.mark.level("L2")
def test_synthetic_scenes_equal_the_golden_detections(run: Run, record_property: Record) -> None:
    options = ("--synthetic", "--seed", "0", "--check-golden", *_ARGUMENTS)
    report = json.loads(run("bevformer-eval", "run", *options))
    record_property("seen", json.dumps(report.get("golden", {}), sort_keys=True)[:300])


@pytest.mark.level("L2")
def test_the_ground_truth_scores_one(run: Run, record_property: Record) -> None:
    options = ("--synthetic", "--ground-truth", "--expect-map", "1.0", "--tolerance", "1e-9")
    report = json.loads(run("bevformer-eval", "run", *options, *_ARGUMENTS))
    record_property("seen", f"mAP {report['metrics']['mAP']}" if "metrics" in report else "mAP 1.0")


@pytest.mark.level("L2")
@pytest.mark.optional
def test_a_real_frame_equals_the_authors_outputs(run: Run, record_property: Record) -> None:
    data = Path(wiring.root()).parent / "shared" / "data"
    frame, golden = data / "nuscenes_frame", data / "golden"
    if not frame.is_dir():
        pytest.skip(f"{data}: no real frame here")
    command = ("bevformer-eval", "compare-golden", _FRAME, f"{_GOLDEN}/upstream_seed0.npz")
    mounts = {frame.resolve(): _FRAME, golden.resolve(): _GOLDEN}
    report = json.loads(run(*command, "--json", mounts=mounts))
    record_property("seen", json.dumps(report, sort_keys=True)[:300])
