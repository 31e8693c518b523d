"""Scores results with nuscenes-devkit, on a small nuScenes of the evaluated scenes alone."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from bevformer_eval.data.nuscenes import Dataset
from bevformer_eval.errors import DataError, GateError
from bevformer_eval.output import storage_errors, write_json

ERROR_NAMES = {
    "trans_err": "mATE",
    "scale_err": "mASE",
    "orient_err": "mAOE",
    "vel_err": "mAVE",
    "attr_err": "mAAE",
}
_CONFIG = "detection_cvpr_2019"
Metrics = Dict[str, Any]  # what metrics.json holds; see schemas/metrics.json


def open_devkit(dataset: Dataset, folder: Path) -> Any:
    """Return nuscenes-devkit's database of the evaluated scenes, kept in `folder`."""
    from nuscenes.nuscenes import NuScenes

    with storage_errors(folder):
        (folder / dataset.version).mkdir(parents=True, exist_ok=True)
        for name, rows in dataset.tables.items():
            write_json(folder / dataset.version / f"{name}.json", rows, indent=None)
        # The devkit asks that the masks exist; detection never opens them.
        for row in dataset.tables["map"]:
            mask = folder / str(row["filename"])
            mask.parent.mkdir(parents=True, exist_ok=True)
            mask.touch()
    with _quiet():
        return NuScenes(version=dataset.version, dataroot=str(folder), verbose=False)


def score(devkit: Any, split: str, results: Path) -> Metrics:
    """Return mAP, NDS, the mean errors, and AP and errors by class (None where undefined)."""
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    with results.open(encoding="utf-8") as stream:
        if not any(json.load(stream)["results"].values()):
            raise GateError(
                f"{results}: no detection is within the range of its class: nothing to score"
            )
    with _quiet(), storage_errors(results.parent):
        config = config_factory(_CONFIG)
        evaluation = DetectionEval(
            devkit, config, str(results), split, str(results.parent / "devkit"), verbose=False
        )
        if not evaluation.gt_boxes.all:
            raise DataError(
                f"the split {split} has no annotated box in range",
                "choose a split with annotations",
            )
        summary = evaluation.evaluate()[0].serialize()
    return _tidy(summary)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the devkit's progress bars and prints from the terminal."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _tidy(summary: Metrics) -> Metrics:
    return {
        "mAP": summary["mean_ap"],
        "NDS": summary["nd_score"],
        "errors": {
            ERROR_NAMES[name]: _number(value) for name, value in summary["tp_errors"].items()
        },
        "classes": {
            name: {
                "AP": summary["mean_dist_aps"][name],
                "AP_by_distance": {
                    str(distance): ap for distance, ap in summary["label_aps"][name].items()
                },
                **{
                    ERROR_NAMES[error][1:]: _number(value)
                    for error, value in summary["label_tp_errors"][name].items()
                },
            }
            for name in summary["mean_dist_aps"]
        },
    }


def _number(value: float) -> Optional[float]:
    """Return the value; None for NaN, which JSON does not know."""
    return None if math.isnan(value) else float(value)


def table(metrics: Metrics) -> str:
    """Return the metrics as a table for people."""
    errors = ["ATE", "ASE", "AOE", "AVE", "AAE"]
    lines = [_line("class", ["AP", *errors])]
    for name, row in metrics["classes"].items():
        lines.append(_line(name, [_cell(row[column]) for column in ("AP", *errors)]))
    means = metrics["errors"]
    lines.append(
        _line("mean", [_cell(metrics["mAP"]), *(_cell(means[f"m{name}"]) for name in errors)])
    )
    lines.append(f"mAP {metrics['mAP']:.4f}   NDS {metrics['NDS']:.4f}")
    return "\n".join(lines)


def _line(name: str, cells: List[str]) -> str:
    return f"{name:<22}" + "".join(f"{cell:>8}" for cell in cells)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4f}"


def gate(metrics: Metrics, expected: Dict[str, Optional[float]], tolerance: float) -> None:
    """Raise GateError where mAP or NDS is further from what is expected than `tolerance`."""
    faults = [
        f"{name} is {metrics[name]:.4f}, expected {value:.4f} within {tolerance:g}"
        for name, value in expected.items()
        if value is not None and not abs(metrics[name] - value) <= tolerance + 1e-12
    ]
    if faults:
        raise GateError("; ".join(faults))
