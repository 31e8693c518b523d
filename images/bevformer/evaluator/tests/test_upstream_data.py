"""Against golden_data: what upstream's own code, from converter to format, makes of the scenes."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np
import pytest

import bevformer_eval
from bevformer_eval.data import CAMERAS, Sample
from bevformer_eval.data.nuscenes import Dataset, Request, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.data.synthetic import write_scenes
from bevformer_eval.metrics import open_devkit, score
from bevformer_eval.results import Boxes, format_sample, submission

GOLDEN = Path(bevformer_eval.__file__).parent / "golden_data"
Json = Dict[str, Any]
Run = Callable[..., Tuple[int, str, str]]


class Synthetic(NamedTuple):
    """The default synthetic scenes as this evaluator reads them."""

    root: Path
    dataset: Dataset
    samples: List[Sample]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Write and read the scenes once for the module."""
    root = tmp_path_factory.mktemp("synthetic")
    write_scenes(root / "data")
    dataset = load(DirectorySource(root / "data"), Request(), root / "cache")
    return Synthetic(root, dataset, [s for scene in dataset.scenes for s in scene.samples])


@pytest.fixture(scope="module")
def golden() -> Dict[str, np.ndarray]:
    """Return upstream's arrays."""
    with np.load(str(GOLDEN / "synthetic_seed0.npz")) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def perturbed() -> Json:
    """Return the perturbed true boxes, and upstream's submission of them."""
    return dict(json.loads((GOLDEN / "synthetic_perturbed.json").read_text()))


def test_samples_come_in_the_order_of_upstream(
    synthetic: Synthetic, golden: Dict[str, np.ndarray]
) -> None:
    found = [(sample.token, sample.scene_token) for sample in synthetic.samples]
    assert found == list(zip(golden["tokens"], golden["scene_tokens"]))


def test_images_are_the_bytes_that_upstream_read(
    synthetic: Synthetic, golden: Dict[str, np.ndarray]
) -> None:
    found = [
        [_sha256(synthetic.root / "data" / sample.images[camera]) for camera in CAMERAS]
        for sample in synthetic.samples
    ]
    assert found == golden["image_sha256"].tolist()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_can_bus_equals_the_vector_that_upstream_feeds(
    synthetic: Synthetic, golden: Dict[str, np.ndarray]
) -> None:
    found = np.stack([sample.can_bus for sample in synthetic.samples])
    expected = np.stack([golden[f"can_bus_{index}"] for index in range(len(found))])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_projections_equal_those_of_upstream(
    synthetic: Synthetic, golden: Dict[str, np.ndarray]
) -> None:
    found = np.stack([sample.lidar2img for sample in synthetic.samples])
    expected = np.stack([golden[f"lidar2img_{index}"] for index in range(len(found))])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-8)


def test_native_model_detects_what_upstream_detects(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ["--synthetic", "--device", "cpu", "--check-golden", "--json", "--work-dir", tmp_path]
    code, out, err = run(*words)
    assert code == 0, err
    rows = json.loads(out)["golden"]["arrays"]
    # CAN bus, projections, scores, boxes and detections of six samples, and the ground truth's mAP
    assert len(rows) == 5 * 6 + 1
    assert all(row["passed"] for row in rows)


def test_submission_equals_that_of_upstream(synthetic: Synthetic, perturbed: Json) -> None:
    found = _submission(synthetic, perturbed)
    assert {token: _names(entries) for token, entries in found.items()} == {
        token: _names(entries) for token, entries in perturbed["submission"].items()
    }
    for token, entries in perturbed["submission"].items():
        for field in ("translation", "size", "rotation", "velocity", "detection_score"):
            numbers = [[entry[field] for entry in side] for side in (found[token], entries)]
            np.testing.assert_allclose(*numbers, rtol=0, atol=1e-6, err_msg=field)


def _submission(synthetic: Synthetic, perturbed: Json) -> Json:
    return {
        sample.token: format_sample(sample, _boxes(perturbed["detections"][sample.token]))
        for sample in synthetic.samples
    }


def _boxes(found: Json) -> Boxes:
    return Boxes(*(np.array(found[column]) for column in ("boxes", "scores", "labels")))


def _names(entries: List[Json]) -> List[List[str]]:
    fields = ("sample_token", "detection_name", "attribute_name")
    return [[str(entry[field]) for field in fields] for entry in entries]


@pytest.mark.skipif(find_spec("nuscenes") is None, reason="nuscenes-devkit is not installed")
def test_metrics_equal_those_of_the_submission_of_upstream(
    synthetic: Synthetic, perturbed: Json, tmp_path: Path
) -> None:
    path = tmp_path / "results_nusc.json"
    path.write_text(json.dumps(submission(_submission(synthetic, perturbed))))
    devkit = open_devkit(synthetic.dataset, tmp_path / "tables")
    found: Json = dict(score(devkit, synthetic.dataset.split, path))
    expected = perturbed["metrics"]
    assert found["mAP"] == pytest.approx(expected["mean_ap"], abs=1e-6)
    assert found["NDS"] == pytest.approx(expected["nd_score"], abs=1e-6)
    assert {name: row["AP"] for name, row in found["classes"].items()} == pytest.approx(
        expected["mean_dist_aps"], abs=1e-6
    )
    assert sorted(found["errors"].values()) == pytest.approx(
        sorted(expected["tp_errors"].values()), abs=1e-6
    )
