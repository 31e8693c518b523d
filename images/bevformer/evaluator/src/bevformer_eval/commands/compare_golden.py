"""`bevformer-eval compare-golden`: the native model against the authors' outputs."""

from __future__ import annotations

import argparse
from pathlib import Path

from bevformer_eval.errors import ExitCode
from bevformer_eval.output import emit

HELP = "compare the native model with what the authors' code returned for a frame"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "frame_dir", type=Path, metavar="FRAME_DIR", help="frame.json and its six camera images"
    )
    parser.add_argument("golden", type=Path, metavar="GOLDEN.npz", help="the authors' outputs")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the weights (default 0)"
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default cpu)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the deviations per array; exit 1 where one is beyond the tolerance."""
    from bevformer_eval import golden
    from bevformer_eval.device import choose_device
    from bevformer_eval.predict import gpu_errors

    device = choose_device(args.device)
    with gpu_errors():
        report = golden.compare(args.frame_dir, args.golden, args.seed, device)
    emit(report.as_dict(), report.table(), as_json=args.json)
    return ExitCode.OK if report.passed else ExitCode.FAILED
