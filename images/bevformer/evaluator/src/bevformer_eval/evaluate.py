"""Evaluates what the journal does not hold yet, and puts the results of all scenes together."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from bevformer_eval.data import CAMERAS
from bevformer_eval.data.nuscenes import Dataset, Scene
from bevformer_eval.journal import Journal
from bevformer_eval.predict import Predictor, check_finite
from bevformer_eval.progress import Progress
from bevformer_eval.results import Detection, format_sample

SCHEMA = 1  # of metrics.json and timings.json
_STEPS = ("load", "forward", "decode")


@dataclass(frozen=True)
class Process:
    """What a process says of itself: its rank, its arithmetic, the seconds until it was ready."""

    rank: int = 0
    arithmetic: str = ""
    start_seconds: float = 0.0


def share(scenes: Sequence[Scene], rank: int, count: int) -> List[Scene]:
    """Return the scenes of process `rank` of `count`; no temporal state crosses processes."""
    return list(scenes[rank::count])


def pending(scenes: Sequence[Scene], journal: Journal) -> List[Scene]:
    """Return the scenes that are not recorded yet."""
    return [scene for scene in scenes if not journal.finished(scene.token)]


def evaluate(
    scenes: Sequence[Scene],
    predictor: Predictor,
    journal: Journal,
    progress: Progress,
    process: Process = Process(),
) -> None:
    """Evaluate scenes and record each as soon as it is finished.

    The walls of a process's scenes add up to its time, also where it evaluates several at once.
    """
    start, last = process.start_seconds, time.perf_counter()
    for result in predictor.predict(scenes, progress.advance):
        for sample, found in zip(result.scene.samples, result.boxes):
            check_finite(sample, found.boxes, found.scores)
        now = time.perf_counter()
        facts = {
            "scene": result.scene.name,
            "samples": len(result.scene.samples),
            "seconds": {step: result.seconds[step] for step in _STEPS},
            "rank": process.rank,
            "arithmetic": process.arithmetic,
            "start": start,
            "wall": now - last,
            "peak_memory_bytes": peak_memory(),
        }
        journal.write(result.scene.token, result.boxes, facts)
        start, last = 0.0, now


def peak_memory() -> Dict[str, int]:
    """Return the peak resident memory of this process and the peak that torch reserved."""
    host = _peak_of_this_program()
    torch = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    gpu = max((torch.cuda.max_memory_reserved(index) for index in range(count)), default=0)
    return {"host": host, "gpu": int(gpu)}


def _peak_of_this_program() -> int:
    """Return bytes by the kernel's own count: getrusage counts the parent's peak as well."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def collect(
    dataset: Dataset, journal: Journal
) -> Tuple[Dict[str, List[Detection]], Dict[str, Any]]:
    """Return the results of all samples in dataset order, and the timings."""
    results: Dict[str, List[Detection]] = {}
    facts = []
    start = time.perf_counter()
    for scene in dataset.scenes:
        record = journal.read(scene.token)
        facts.append(record.facts)
        for sample, boxes in zip(scene.samples, record.boxes):
            results[sample.token] = format_sample(sample, boxes)
    timings = _timings(facts)
    timings["seconds"]["format"] = time.perf_counter() - start
    return results, timings


def _timings(records: Sequence[Any]) -> Dict[str, Any]:
    samples = sum(record["samples"] for record in records)
    wall, start = _slowest(records, "wall"), _slowest(records, "start")
    seconds = {step: sum(record["seconds"][step] for record in records) for step in _STEPS}
    return {
        "schema": SCHEMA,
        "samples": samples,
        "images": samples * len(CAMERAS),
        "processes": len({record["rank"] for record in records}),
        "arithmetic": " and ".join(sorted({record["arithmetic"] for record in records})),
        "seconds": {"start": start, **seconds, "wall": wall},
        "samples_per_second": samples / wall,
        "images_per_second": samples * len(CAMERAS) / wall,
        "forward_samples_per_second": samples / seconds["forward"] if seconds["forward"] else None,
        "peak_memory_bytes": {
            kind: max(record["peak_memory_bytes"][kind] for record in records)
            for kind in ("host", "gpu")
        },
    }


def _slowest(records: Sequence[Any], kind: str) -> float:
    """Return the seconds of this kind of the process that took the longest."""
    seconds: Dict[int, float] = {}
    for record in records:
        seconds[record["rank"]] = seconds.get(record["rank"], 0.0) + record[kind]
    return max(seconds.values())
