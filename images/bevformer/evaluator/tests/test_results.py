"""The submission format and the scores, apart from what `test_upstream_data.py` compares."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import pytest
from nuscenes.eval.common.config import config_factory

from bevformer_eval.data import CLASSES
from bevformer_eval.data.nuscenes import Dataset, Request, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.draw import predictions
from bevformer_eval.errors import GateError
from bevformer_eval.ground_truth import GroundTruth
from bevformer_eval.metrics import gate, open_devkit, score
from bevformer_eval.results import CLASS_RANGE, Boxes, format_sample, submission


@pytest.fixture(scope="module")
def dataset(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(DirectorySource(pristine), Request(), tmp_path_factory.mktemp("cache"))


def test_ranges_are_those_of_the_devkit() -> None:
    assert config_factory("detection_cvpr_2019").class_range == CLASS_RANGE


BOX = [5.0, 10.0, -1.0, 2.0, 4.0, 1.5, 0.3, 0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "speed", "attribute"),
    [
        ("car", 0.3, "vehicle.moving"),
        ("car", 0.1, "vehicle.parked"),
        ("bus", 0.3, "vehicle.moving"),
        ("bus", 0.1, "vehicle.stopped"),
        ("bicycle", 0.3, "cycle.with_rider"),
        ("bicycle", 0.1, "cycle.without_rider"),
        ("pedestrian", 0.3, "pedestrian.moving"),
        ("pedestrian", 0.1, "pedestrian.standing"),
        ("barrier", 0.3, ""),
        ("traffic_cone", 0.1, ""),
    ],
)
def test_attributes_follow_class_and_speed(
    dataset: Dataset, name: str, speed: float, attribute: str
) -> None:
    box = [*BOX[:7], speed, 0.0]
    boxes = Boxes(np.array([box]), np.array([0.5]), np.array([CLASSES.index(name)]))
    (found,) = format_sample(dataset.scenes[0].samples[0], boxes)
    assert (found["detection_name"], found["attribute_name"]) == (name, attribute)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("away", [-0.5, 0.5], ids=["within", "beyond"])
def test_what_is_beyond_the_range_of_its_class_is_left_out(
    dataset: Dataset, name: str, away: float
) -> None:
    sample = dataset.scenes[0].samples[0]
    # The lidar's y axis is the vehicle's x axis, 0.94 m behind it.
    box = [0.0, CLASS_RANGE[name] - 0.94 + away, *BOX[2:]]
    boxes = Boxes(np.array([box]), np.array([0.5]), np.array([CLASSES.index(name)]))
    assert len(format_sample(sample, boxes)) == (1 if away < 0 else 0)


def test_no_boxes_are_no_detections(dataset: Dataset) -> None:
    none = Boxes(np.zeros((0, 9)), np.zeros(0), np.zeros(0, np.int64))
    assert format_sample(dataset.scenes[0].samples[0], none) == []
    assert len(predictions(dataset.scenes[0].samples[0], [], 0.0).boxes) == 0


def test_a_submission_goes_back_to_the_same_boxes(dataset: Dataset, tmp_path: Path) -> None:
    truth = GroundTruth(open_devkit(dataset, tmp_path))
    for scene in dataset.scenes:
        for sample in scene.samples:
            boxes = truth.boxes(sample)
            back = predictions(sample, format_sample(sample, boxes), 0.5)
            near = [name_range(label) for label in boxes.labels] > np.hypot(
                *boxes.boxes[:, :2].T
            ) + 2
            assert near.sum() > 10
            wanted = boxes.boxes[near][:, :6]
            for box in wanted:
                assert np.abs(back.boxes[:, :6] - box).max(1).min() < 1e-6


def name_range(label: int) -> int:
    return CLASS_RANGE[CLASSES[label]]


def test_ground_truth_scores_one(dataset: Dataset, tmp_path: Path) -> None:
    devkit = open_devkit(dataset, tmp_path)
    truth = GroundTruth(devkit)
    results = {
        s.token: format_sample(s, truth.boxes(s)) for sc in dataset.scenes for s in sc.samples
    }
    file = tmp_path / "results_nusc.json"
    file.write_text(json.dumps(submission(results)))
    found = score(devkit, dataset.split, file)
    assert found["mAP"] == pytest.approx(1.0, abs=1e-12)
    assert found["classes"]["traffic_cone"]["AOE"] is None
    assert found["errors"]["mATE"] < 1e-6


def test_one_box_less_is_seen(dataset: Dataset, tmp_path: Path) -> None:
    """Show that the check of mAP 1.0 can fail: one construction vehicle is not submitted."""
    devkit = open_devkit(dataset, tmp_path)
    truth = GroundTruth(devkit)
    results = {
        s.token: format_sample(s, truth.boxes(s)) for sc in dataset.scenes for s in sc.samples
    }
    first = dataset.scenes[0].samples[0].token
    results[first] = [f for f in results[first] if f["detection_name"] != "construction_vehicle"]
    file = tmp_path / "results_nusc.json"
    file.write_text(json.dumps(submission(results)))
    found = score(devkit, dataset.split, file)
    assert found["classes"]["construction_vehicle"]["AP"] < 0.9
    assert 0.9 < found["mAP"] < 0.99


def test_nothing_in_range_is_named(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "results_nusc.json"
    empty = {sample.token: [] for scene in dataset.scenes for sample in scene.samples}
    file.write_text(json.dumps(submission(empty)))
    with pytest.raises(GateError, match="no detection is within the range"):
        score(open_devkit(dataset, tmp_path), dataset.split, file)


@pytest.mark.parametrize(
    ("expected", "tolerance", "message"),
    [
        ({"mAP": 0.25, "NDS": None}, 0.002, None),
        ({"mAP": 0.252, "NDS": 0.353}, 0.002, None),
        ({"mAP": 0.253, "NDS": None}, 0.002, "mAP is 0.2500, expected 0.2530 within 0.002"),
        ({"mAP": None, "NDS": 0.4}, 0.002, "NDS is 0.3520, expected 0.4000 within 0.002"),
        ({"mAP": 1.0, "NDS": 1.0}, 0.1, "mAP is 0.2500, expected 1.0000 within 0.1; NDS is"),
        ({"mAP": math.nan, "NDS": None}, 1.0, "mAP is 0.2500, expected nan"),
    ],
    ids=["one", "both at the edge", "mAP off", "NDS off", "both off", "nan"],
)
def test_gate(expected: Dict[str, Optional[float]], tolerance: float, message: str) -> None:
    found = {"mAP": 0.25, "NDS": 0.352}
    if message is None:
        gate(found, expected, tolerance)
        return
    with pytest.raises(GateError) as caught:
        gate(found, expected, tolerance)
    assert message in caught.value.message
