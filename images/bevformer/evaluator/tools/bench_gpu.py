"""Measure the native model on one GPU: is it right, how fast, and what limits it. Writes JSON.

    PYTHONPATH=src python tools/bench_gpu.py --out bench.json [--data SHARED_DATA] [--sections ...]

Every section runs by itself: one that fails is recorded with its error, and the next begins. All
comparisons are with TF32 off. It needs torch, numpy and OpenCV; `build_mmcv_op.py` gives it mmcv's
op.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict

import bench_accuracy
import bench_speed
import cv2
import torch
from bench_common import Result, Setting, guarded

from bevformer_eval.weights import seeded_state_dict

SECTIONS: Dict[str, Callable[[Setting], Result]] = {
    "op": bench_accuracy.op,
    "native": bench_accuracy.native,
    "features": bench_accuracy.features,
    "engine": bench_accuracy.engine,
    "slots": bench_accuracy.slots,
    "forward": bench_speed.forward,
    "decoding": bench_speed.decoding,
    "end_to_end": bench_speed.end_to_end,
    "profile": bench_speed.profile,
    "tiles": bench_speed.tiles,
}


def main() -> int:
    """Run the sections and write what each found after each, so that a time limit loses nothing."""
    args = _arguments()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    results: Result = {"environment": environment(args.device)}
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(
            args.device,
            args.batches,
            args.workers,
            Path(scratch),
            args.data,
            seeded_state_dict(0),
        )
        for name in args.sections:
            start = time.perf_counter()
            results[name] = guarded(lambda: SECTIONS[name](setting))  # noqa: B023
            results[name]["section_seconds"] = round(time.perf_counter() - start, 1)
            print(json.dumps({name: results[name]}, indent=1), flush=True)  # noqa: T201
            args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            if args.device.startswith("cuda"):
                torch.cuda.empty_cache()
    text = json.dumps(results)
    return int('"error"' in text or '"passed": false' in text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batches", type=int, nargs="+", default=[8])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--data", type=Path, default=Path("absent"), help="holds nuscenes_frame/ and golden/"
    )
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    return parser.parse_args()


def environment(device: str) -> Result:
    """Return the versions and the hardware."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "cpus": os.cpu_count(),
    }
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


if __name__ == "__main__":
    sys.exit(main())
