"""Chooses, by the options, the weights, the device and the predictor."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional

from bevformer_eval import distributed
from bevformer_eval.data import SCALE
from bevformer_eval.data.frames import FrameLoader
from bevformer_eval.data.nuscenes import Dataset
from bevformer_eval.data.source import Source
from bevformer_eval.errors import UsageError
from bevformer_eval.output import say
from bevformer_eval.predict import NativePredictor, Observer, Predictor, gpu_errors

_MOST_WORKERS = 32
_BATCH = 8  # an H200 evaluates 16 scenes side by side only 3 % faster
_MEMORY_OF_A_SCENE = 4 * 2**30  # bytes; float32, the larger, reserved 22 to 26 GiB for eight


@dataclass(frozen=True)
class Choice:
    """The weights to evaluate, where, and what decides their results."""

    identity: Dict[str, object]
    device: str
    state: Optional[Dict[str, Any]] = None  # None: the ground truth
    batch: int = 0  # scenes side by side; 0: frame by frame, by the plain model

    def fitted(self, scenes: int) -> Choice:
        """Return the choice with equal rounds: ten scenes take two of five, not of eight and two.

        The number of processes has no part in it, so that it does not change the result.
        """
        if not self.batch:
            return self
        rounds = -(-scenes // self.batch)
        batch = max(1, -(-scenes // max(1, rounds)))
        return replace(self, batch=batch, identity={**self.identity, "batch": batch})

    def device_name(self) -> str:
        """Return the name of the device for people."""
        if not self.device.startswith("cuda"):
            return self.device
        import torch

        return str(torch.cuda.get_device_name(self.device))


def choose(args: argparse.Namespace, place: distributed.Place) -> Choice:
    """Return what the options ask for; HostError or WeightsError where it cannot be had."""
    if args.ground_truth:
        return Choice({"kind": "ground truth"}, "cpu")
    from bevformer_eval.device import choose_device

    if args.model == "upstream":
        from bevformer_eval.upstream import code

        code.require()
    device = choose_device(args.device, place.local_rank)
    if args.gpus > 1 and device != "cpu":
        distributed.check_gpus(args.gpus)
    batch = _batch(args, device)
    if args.precision == "pairs" and not batch:
        raise UsageError(
            "--precision pairs goes with a GPU and torch 1.10 or later, without --check-golden and "
            "--image-scale",
            "leave --precision out",
        )
    identity: Dict[str, object] = {"kind": args.model}
    if args.image_scale is not None:
        identity["image_scale"] = args.image_scale
    state = _weights(args, identity)
    identity["arithmetic"] = arithmetic(device, args.precision if batch else "float32")
    return Choice(identity, device, state, batch)


def arithmetic(device: str, precision: str) -> str:
    """Return what metrics.json calls the arithmetic: `float32 cpu`, `pairs cuda`."""
    return f"{precision} {device.partition(':')[0]}"


def _weights(args: argparse.Namespace, identity: Dict[str, object]) -> Dict[str, Any]:
    """Return the weights, and say in the identity which they are."""
    from bevformer_eval import weights

    if args.checkpoint is None:
        identity["seed"] = args.seed or 0
        return weights.seeded_state_dict(args.seed or 0)
    state = weights.load_checkpoint(args.checkpoint, args.checkpoint_sha256 or None)
    with args.checkpoint.open("rb") as stream:
        found = weights.sha256(stream)
    identity.update(checkpoint_sha256=found, published=found == weights.PUBLISHED_SHA256)
    return state


def _batch(args: argparse.Namespace, device: str) -> int:
    """Return how many scenes go side by side at most; 0 where the plain model goes frame by frame.

    Batches need a GPU and CUDA graphs, which torch has from 1.10 on. `--check-golden` looks at the
    raw outputs of each frame, and `--batch 1 --precision float32` asks for the plain model; the
    authors' model goes frame by frame, and only the plain model takes images of another scale.
    """
    import torch

    if args.model == "upstream" or device == "cpu" or args.image_scale is not None:
        return 0
    if not hasattr(torch.cuda, "CUDAGraph") or args.check_golden:
        return 0
    if args.batch is None:
        return _default_batch()
    return 0 if (args.batch, args.precision) == (1, "float32") else args.batch


def _default_batch() -> int:
    """Return what fits into the smallest GPU, so that all processes of a host choose the same."""
    import torch

    count = torch.cuda.device_count()
    least = min(torch.cuda.get_device_properties(index).total_memory for index in range(count))
    return max(1, min(_BATCH, least // _MEMORY_OF_A_SCENE))


@dataclass(frozen=True)
class Chosen:
    """What turns samples into boxes, and the arithmetic that it turned out to use."""

    predictor: Predictor
    arithmetic: str = ""


def predictor(
    choice: Choice, args: argparse.Namespace, dataset: Dataset, observer: Optional[Observer] = None
) -> Chosen:
    """Return the predictor with the chosen weights, ready to start; not for the ground truth."""
    workers, source = args.workers or default_workers(args.gpus), dataset.source
    if args.model == "upstream":
        return _upstream(choice, args, dataset, observer)
    _note_missing_op(choice.device)
    if choice.batch:
        return _fast(choice, args, source, workers)
    from bevformer_eval.model import BEVFormerTiny

    module = BEVFormerTiny()
    module.load_state_dict(choice.state, strict=True)
    with gpu_errors():
        module = module.eval().to(choice.device)
    loader = FrameLoader(source, workers, args.image_scale or SCALE)
    plain = NativePredictor(module, choice.device, loader, observer=observer)
    return Chosen(plain, arithmetic(choice.device, "float32"))


def _upstream(
    choice: Choice, args: argparse.Namespace, dataset: Dataset, observer: Optional[Observer]
) -> Chosen:
    """Return the authors' model over the authors' dataset."""
    from bevformer_eval.upstream import code
    from bevformer_eval.upstream.predictor import Items, Model, UpstreamPredictor

    assert choice.state is not None  # noqa: S101 - the caller serves the ground truth
    settings = code.config()
    with gpu_errors():
        model = Model(code.build_model(settings, choice.state, choice.device), choice.device)
    workers = args.workers or default_workers(args.gpus)
    items = Items(settings, dataset, args.work_dir)
    authors = UpstreamPredictor(model, items, workers=workers, observer=observer)
    return Chosen(authors, arithmetic(choice.device, "float32"))


def _note_missing_op(device: str) -> None:
    """Say why mmcv's op does not serve a GPU: the PyTorch form takes four times as long."""
    if not device.startswith("cuda"):
        return
    import torch

    from bevformer_eval.ops_check import diagnose

    problem = diagnose(torch.device(device))
    if problem:
        say(f"note: {problem}")


def _fast(choice: Choice, args: argparse.Namespace, source: Source, workers: int) -> Chosen:
    """Return the predictor that has several scenes in a batch."""
    _keep_kernels(args.work_dir)
    from bevformer_eval.fast.engine import Engine
    from bevformer_eval.fast.predictor import FastPredictor

    assert choice.state is not None  # noqa: S101 - the caller serves the ground truth
    with gpu_errors():
        engine = Engine(choice.state, choice.batch, choice.device, args.precision)
    if engine.note:
        say(f"note: plain float32, because {engine.note}")
    fast = FastPredictor(engine, source, workers=workers)
    return Chosen(fast, arithmetic(choice.device, engine.precision))


def _keep_kernels(work_dir: Path) -> None:
    """Let Triton keep what it compiles below the work directory: a home may be missing or full."""
    os.environ.setdefault("TRITON_CACHE_DIR", str(work_dir.resolve() / "cache" / "triton"))


def default_workers(processes: int) -> int:
    """Return a share of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST_WORKERS, (cores or 1) // processes))
