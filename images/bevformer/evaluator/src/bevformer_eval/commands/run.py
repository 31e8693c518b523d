"""`bevformer-eval run`: evaluate, score, and write results, metrics, timings and pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from bevformer_eval.commands.synthesize import add_scene_options
from bevformer_eval.errors import ExitCode, UsageError

HELP = "evaluate BEVFormer-tiny (the default command)"
_LEAST_SCALE = 0.02


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    _data_options(parser.add_argument_group("data"))
    _model_options(parser.add_argument_group("model"))
    _device_options(parser.add_argument_group("device"))
    _output_options(parser.add_argument_group("output"))
    _gate_options(parser.add_argument_group("gates (exit code 1 where one does not hold)"))
    parser.add_argument("--share", default="", help=argparse.SUPPRESS)


def _data_options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="PATH",
        default=[],
        help="the nuScenes directory, or its .tgz/.tar files and can_bus.zip, or their folder",
    )
    group.add_argument("--synthetic", action="store_true", help="seeded scenes instead of --data")
    add_scene_options(group)
    group.add_argument(
        "--version",
        metavar="V",
        default="",
        help="v1.0-trainval or v1.0-mini (default: what is there)",
    )
    group.add_argument(
        "--split", metavar="S", default="", help="default: val, or mini_val of v1.0-mini"
    )
    group.add_argument(
        "--partial", action="store_true", help="evaluate the scenes that are there of the split"
    )
    group.add_argument(
        "--infos",
        type=Path,
        metavar="PKL",
        help="upstream's info file; its CAN bus vectors are used",
    )


def _model_options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--model", choices=("native", "upstream"), default="native", help="default: native"
    )
    group.add_argument(
        "--image-scale",
        type=float,
        metavar="S",
        help="synthetic scenes only: smaller images than the published model's 0.5, to run all of "
        "the code where it is slow, as under an emulator; no result of it counts",
    )
    group.add_argument("--checkpoint", type=Path, metavar="PTH", help="bevformer_tiny_epoch_24.pth")
    group.add_argument(
        "--checkpoint-sha256", metavar="HEX", default="", help="refuse a checkpoint of another hash"
    )
    group.add_argument(
        "--seed", type=int, metavar="N", help="seeded weights instead of a checkpoint"
    )
    group.add_argument(
        "--ground-truth",
        action="store_true",
        help="feed the annotations instead of a model: mAP must be 1.0",
    )


def _device_options(group: argparse._ActionsContainer) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    group.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="processes, one for each GPU (default 1)"
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="threads that load images (default: the cores)"
    )
    group.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="most scenes side by side on a GPU (default 8, fewer on GPUs below 32 GiB)",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "pairs", "float32"),
        default="auto",
        help="on a GPU: pairs of halves at float32's accuracy, or plain float32 (default auto)",
    )


def _output_options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--work-dir",
        type=Path,
        default=Path("bevformer-eval"),
        metavar="DIR",
        help="default: %(default)s",
    )
    group.add_argument(
        "--fresh", action="store_true", help="evaluate again what an earlier run has recorded"
    )
    group.add_argument(
        "--show",
        nargs="?",
        type=int,
        const=0,
        metavar="N",
        help="write pictures of all samples, or of the first N",
    )
    group.add_argument(
        "--show-score",
        type=float,
        default=0.2,
        metavar="S",
        help="lowest score shown (default 0.2)",
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def _gate_options(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--expect-map", type=float, metavar="X", help="mAP must be X within --tolerance"
    )
    group.add_argument(
        "--expect-nds", type=float, metavar="X", help="NDS must be X within --tolerance"
    )
    group.add_argument(
        "--tolerance", type=float, default=0.002, metavar="T", help="default: %(default)s"
    )
    group.add_argument(
        "--check-golden",
        action="store_true",
        help="synthetic scenes only: the detections must equal the golden ones",
    )


def execute(args: argparse.Namespace) -> int:
    """Evaluate as the options say."""
    from bevformer_eval.session import run

    _check_options(args)
    run(args)
    return ExitCode.OK


def _check_options(args: argparse.Namespace) -> None:
    if args.synthetic == bool(args.data):
        raise UsageError("say what to evaluate: --synthetic, or --data DIR (or its tars)")
    given = [args.checkpoint is not None, args.seed is not None, args.ground_truth]
    if sum(given) > 1:
        raise UsageError("--checkpoint, --seed and --ground-truth exclude each other")
    if not any(given) and not args.synthetic:
        raise UsageError("say which weights: --checkpoint PTH, or --seed N for seeded ones")
    if any(count is not None and count < 1 for count in (args.gpus, args.batch, args.workers)):
        raise UsageError("--gpus, --batch and --workers must be at least 1")
    if args.model == "upstream" and (args.gpus > 1 or args.batch not in (None, 1)):
        raise UsageError("--model upstream goes frame by frame, in one process on one device")
    if args.gpus > 1 and ":" in args.device:
        raise UsageError(
            f"--gpus {args.gpus} takes the first GPUs; --device {args.device} names one",
            "use --device cuda",
        )
    if args.check_golden and (
        not args.synthetic or args.gpus > 1 or args.ground_truth or args.checkpoint
    ):
        raise UsageError("--check-golden goes with --synthetic, seeded weights and one process")

    _check_image_scale(args)


def _check_image_scale(args: argparse.Namespace) -> None:
    """Refuse smaller images wherever a result could be taken for the published model's."""
    from bevformer_eval.data import SCALE

    if args.image_scale is None:
        return
    others = [args.check_golden, args.ground_truth, args.model != "native", args.checkpoint]
    gates = [args.expect_map is not None, args.expect_nds is not None]
    if not args.synthetic or any(others) or any(gates):
        raise UsageError(
            "--image-scale goes with --synthetic and seeded weights, without comparisons or gates",
            "leave it out: only images scaled by 0.5 give results that count",
        )
    if not _LEAST_SCALE <= args.image_scale < SCALE:
        raise UsageError(
            f"--image-scale {args.image_scale:g} is not between {_LEAST_SCALE:g} and {SCALE:g}",
            "the least gives images of 32x18 pixels",
        )
