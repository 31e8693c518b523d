"""`bevformer-eval check-ops`: mmcv's multi-scale deformable attention against PyTorch's."""

from __future__ import annotations

import argparse

from bevformer_eval.errors import ExitCode
from bevformer_eval.output import emit

HELP = "compare the implementations of multi-scale deformable attention"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="random shapes (default 20)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the shapes (default 0)"
    )
    parser.add_argument(
        "--require-mmcv", action="store_true", help="exit 1 also where mmcv's op cannot be used"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the largest errors, forward and backward; exit 1 where one is beyond the tolerance."""
    from bevformer_eval.device import choose_device
    from bevformer_eval.ops_check import check_ops
    from bevformer_eval.predict import gpu_errors

    device = choose_device(args.device)
    with gpu_errors():
        report = check_ops(device, args.trials, args.seed)
    emit(report.as_dict(), report.table(), as_json=args.json)
    failed = not report.passed or (args.require_mmcv and report.problem)
    return ExitCode.FAILED if failed else ExitCode.OK
