"""`bevformer-eval compare-models`: the native model against the authors' own, run side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

from bevformer_eval.commands.synthesize import add_scene_options
from bevformer_eval.errors import ExitCode, UsageError
from bevformer_eval.output import emit, storage_errors

HELP = "compare the native model with the authors' own, same weights and same input"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--data", type=Path, nargs="+", metavar="PATH", default=[], help="as of `run`, in part"
    )
    add_scene_options(parser)
    parser.add_argument(
        "--frame", type=Path, metavar="DIR", help="also a real frame: frame.json and its six images"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="PTH", help="the published weights")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seeded weights instead (default: seed 0)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("bevformer-eval"),
        metavar="DIR",
        help="default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the deviations per array; exit 1 where one is beyond the tolerance."""
    from bevformer_eval.device import choose_device
    from bevformer_eval.golden import GoldenReport
    from bevformer_eval.upstream import code

    code.require()
    state, weights = _weights(args)
    device = choose_device(args.device)
    rows = _rows(args, state, device)
    import torch

    report = GoldenReport(tuple(rows), args.seed or 0, torch.__version__)
    result = {**report.as_dict(), "weights": weights, "device": device}
    emit(result, report.table(), as_json=args.json)
    return ExitCode.OK if report.passed else ExitCode.FAILED


def _weights(args: argparse.Namespace) -> Tuple[Dict[str, Any], str]:
    from bevformer_eval import weights

    if args.checkpoint is None:
        return weights.seeded_state_dict(args.seed or 0), f"seed {args.seed or 0}"
    if args.seed is not None:
        raise UsageError("--checkpoint and --seed exclude each other")
    return weights.load_checkpoint(args.checkpoint), args.checkpoint.name


def _rows(args: argparse.Namespace, state: Dict[str, Any], device: str) -> List[Any]:
    from bevformer_eval import model_comparison
    from bevformer_eval.data import nuscenes, origin
    from bevformer_eval.progress import Progress

    with storage_errors(args.work_dir):
        args.work_dir.mkdir(parents=True, exist_ok=True)
    if args.data:
        source = origin.open_data(args.data, args.work_dir)
    else:
        source = origin.synthesize(args.work_dir, args.scene_seed, args.scenes, args.samples)
    dataset = nuscenes.load(source, nuscenes.Request(partial=True), args.work_dir / "cache")
    with Progress(2 * dataset.size) as progress:
        rows = model_comparison.compare_scenes(
            dataset, state, device, args.work_dir, progress.advance
        )
    if args.frame is not None:
        rows += model_comparison.compare_frame(args.frame, state, device)
    return rows
