"""Compare the detections that two runs recorded of the same scenes, sample by sample, as JSON.

    PYTHONPATH=src python tools/compare_runs.py RUN EXPECTED

RUN and EXPECTED are `--work-dir`s with one evaluation each. A detection is matched where the other
run has one of its label whose box and score lie within the tolerance of `compare-golden`. Exit code
1: some detection is not matched.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import torch

from bevformer_eval import golden
from bevformer_eval.errors import DataError, EvalError
from bevformer_eval.journal import Journal
from bevformer_eval.model import Detections
from bevformer_eval.results import Boxes


def main() -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("expected", type=Path)
    args = parser.parse_args()
    try:
        result = compare(args.run, args.expected)
    except EvalError as error:
        sys.exit(f"error: {error.message}")
    print(json.dumps(result))  # noqa: T201
    return int(result["matched"] < result["detections"])


def compare(run: Path, expected: Path) -> Dict[str, Any]:
    """Return how many detections match, the largest deviations of those, and both runs' metrics."""
    samples = list(_pairs(run, expected))
    matches = [_match(found, wanted) for _, found, wanted in samples]
    totals = np.array([[len(wanted.scores), len(found.scores)] for _, found, wanted in samples])
    matched = np.array([len(match) for match in matches])
    late = np.array([step for step, _, _ in samples])
    deviations = np.concatenate(matches)
    worst, typical = deviations.max(0, initial=0.0), np.sqrt((deviations**2).mean(0))
    metrics = [_metrics(folder) for folder in (run, expected)]
    return {
        "samples": len(samples),
        "detections": int(totals.max(1).sum()),
        "matched": int(matched.sum()),
        "samples_with_all_matched": int((matched == totals.max(1)).sum()),
        "unmatched_by_tenth_of_steps": [
            int((totals.max(1) - matched)[late // 10 == tenth].sum())
            for tenth in range(int(late.max()) // 10 + 1)
        ],
        "largest_box_deviation": float(worst[0]),
        "largest_score_deviation": float(worst[1]),
        "rms_box_deviation": float(typical[0]),
        "rms_score_deviation": float(typical[1]),
        "metrics": {name: [found[name] for found in metrics] for name in ("mAP", "NDS")},
    }


def _pairs(run: Path, expected: Path) -> Iterator[Tuple[int, Boxes, Boxes]]:
    """Yield the place in its scene and both runs' boxes of each sample."""
    left, right = _journal(run), _journal(expected)
    names = [sorted(file.name for file in j.folder.glob("scene-*.npz")) for j in (left, right)]
    if names[0] != names[1] or not names[0]:
        raise DataError(f"{left.folder} and {right.folder} do not hold the same scenes")
    for name in names[0]:
        token = name[len("scene-") : -len(".npz")]
        boxes = (left.read(token).boxes, right.read(token).boxes)
        yield from ((step, *pair) for step, pair in enumerate(zip(*boxes)))


def _journal(work_dir: Path) -> Journal:
    folders = sorted((work_dir / "journal").glob("*"))
    if len(folders) != 1:
        raise DataError(f"{work_dir} holds {len(folders)} evaluations, not one")
    journal = Journal.__new__(Journal)  # to read, without the identity of a run
    journal.folder = folders[0]
    return journal


def _match(found: Boxes, expected: Boxes) -> np.ndarray:
    """Return the deviations (n, 2) of box and score of the n detections that match."""
    left, right = (_detections(boxes) for boxes in (found, expected))
    shares, deviations = golden._pairwise(left, right)
    partners: List[Tuple[int, int]] = [
        (row, partner) for row, partner in enumerate(golden._match(shares)) if partner >= 0
    ]
    scores = np.abs(expected.scores[:, None].astype(np.float64) - found.scores[None])
    rows = [(deviations[place], scores[place]) for place in partners]
    return np.array(rows, np.float64).reshape(-1, 2)


def _detections(boxes: Boxes) -> Detections:
    return Detections(*(torch.from_numpy(np.asarray(part)) for part in boxes))


def _metrics(work_dir: Path) -> Dict[str, Any]:
    return dict(json.loads((work_dir / "metrics.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
