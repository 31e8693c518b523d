"""`--check-golden`: what is detected in the synthetic scenes against what the authors detect."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, List

import numpy as np

from bevformer_eval import golden
from bevformer_eval.data import CAMERAS, Sample
from bevformer_eval.data.images import read
from bevformer_eval.data.source import Source
from bevformer_eval.errors import DataError, GateError, UsageError
from bevformer_eval.model import Output

_PERFECT = 1e-9  # how far from 1.0 the ground truth's mAP may be, by rounding


def golden_file(seed: int) -> Path:
    """Return the golden detections of seeded weights; UsageError if there are none."""
    folder = Path(__file__).parent / "golden_data"
    file = folder / f"synthetic_seed{seed}.npz"
    if not file.is_file():
        have = ", ".join(
            sorted(
                f.stem.replace("synthetic_seed", "--seed ")
                for f in folder.glob("synthetic_seed*.npz")
            )
        )
        raise UsageError(f"there are no golden detections for --seed {seed}", f"use {have}")
    return file


class GoldenScenes:
    """Compares each sample as it is evaluated: its inputs, the raw outputs, the detections."""

    def __init__(self, seed: int, source: Source) -> None:
        with np.load(str(golden_file(seed)), allow_pickle=False) as file:
            self._golden: Dict[str, np.ndarray] = {name: file[name] for name in file.files}
        self._step = {str(token): step for step, token in enumerate(self._golden["tokens"])}
        self._seed, self._source = seed, source
        self.rows: List[golden.Row] = []

    def check_inputs(self, samples: List[Sample]) -> None:
        """Raise where the scenes are not the golden ones, or were rendered to other bytes here."""
        if {sample.token for sample in samples} != set(self._step):
            raise UsageError(
                "these are not the scenes of the golden detections",
                "leave --scene-seed, --scenes and --samples out",
            )
        for sample in samples:
            expected = self._golden["image_sha256"][self._step[sample.token]]
            for camera, digest in zip(CAMERAS, expected):
                if hashlib.sha256(read(self._source, sample.images[camera])).hexdigest() != digest:
                    raise DataError(
                        f"{sample.images[camera]} is not the golden image byte by byte",
                        "this OpenCV has another JPEG encoder; use opencv-python-headless",
                    )

    def observe(self, sample: Sample, output: Output, _: object) -> None:
        """Compare one evaluated sample with the golden arrays."""
        step = self._step[sample.token]
        for name, value in (("can_bus", sample.can_bus), ("lidar2img", sample.lidar2img)):
            self.rows.append(
                golden.compare_array(
                    f"{name} {step}", value, self._golden[f"{name}_{step}"], (1e-9, 1e-9)
                )
            )
        on_cpu = Output(*(part.detach().float().cpu() for part in output))
        self.rows.extend(golden.compare_step(step, on_cpu, self._golden))

    def report(self, ground_truth_map: float) -> golden.GoldenReport:
        """Return all comparisons, and with them whether the ground truth scores mAP 1.0."""
        import torch

        away = abs(ground_truth_map - 1.0)
        row = golden.Row("ground truth mAP", away, away / _PERFECT, f"mAP {ground_truth_map:.6f}")
        return golden.GoldenReport((*self.rows, row), self._seed, torch.__version__)


def judge(report: golden.GoldenReport) -> None:
    """Raise GateError where a comparison failed."""
    failed = [row.name for row in report.rows if not row.passed]
    if failed:
        raise GateError(
            f"{len(failed)} of {len(report.rows)} golden comparisons failed: {', '.join(failed)}"
        )
