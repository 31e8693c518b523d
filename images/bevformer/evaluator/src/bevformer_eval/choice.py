"""Chooses, by the options, the weights, the device and the predictor."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any, Dict, Optional

from bevformer_eval import distributed
from bevformer_eval.data.source import Source
from bevformer_eval.output import say
from bevformer_eval.predict import NativePredictor, Observer, Predictor, gpu_errors

_MOST_WORKERS = 32


@dataclass(frozen=True)
class Choice:
    """The weights to evaluate, where, and what decides their results."""

    identity: Dict[str, object]
    device: str
    state: Optional[Dict[str, Any]] = None  # None: the ground truth

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

    device = choose_device(args.device, place.local_rank, tf32=args.tf32)
    if args.gpus > 1 and device != "cpu":
        distributed.check_gpus(args.gpus)
    identity: Dict[str, object] = {"kind": "native"}
    state = _weights(args, identity)
    identity["arithmetic"] = _arithmetic(args, device)
    if _is_fast(args, device):
        identity["batch"] = args.batch
    return Choice(identity, device, state)


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


def _arithmetic(args: argparse.Namespace, device: str) -> str:
    if device == "cpu":
        return "float32 cpu"
    if args.tf32:
        return "tf32 cuda"
    return f"{args.precision if _is_fast(args, device) else 'float32'} cuda"


def _is_fast(args: argparse.Namespace, device: str) -> bool:
    """Say whether scenes are batched: on a GPU, where torch (1.10 and later) has CUDA graphs.

    `--check-golden` looks at the raw outputs of each frame, which the plain loop hands out.
    """
    import torch

    return device != "cpu" and hasattr(torch.cuda, "CUDAGraph") and not args.check_golden


def predictor(
    choice: Choice, args: argparse.Namespace, source: Source, observer: Optional[Observer] = None
) -> Predictor:
    """Return what turns samples into boxes with the chosen weights; not for the ground truth."""
    workers = args.workers or default_workers(args.gpus)
    if _is_fast(args, choice.device):
        from bevformer_eval.fast.engine import Engine
        from bevformer_eval.fast.predictor import FastPredictor

        assert choice.state is not None  # noqa: S101 - the caller serves the ground truth
        precision = "float32" if args.tf32 else args.precision
        with gpu_errors():
            engine = Engine(choice.state, args.batch, choice.device, precision)
        if engine.note:
            say(f"note: plain float32, because {engine.note}")
        return FastPredictor(engine, source, workers=workers)
    from bevformer_eval.model import BEVFormerTiny

    module = BEVFormerTiny()
    module.load_state_dict(choice.state, strict=True)
    with gpu_errors():
        module = module.eval().to(choice.device)
    return NativePredictor(module, choice.device, source, workers=workers, observer=observer)


def default_workers(processes: int) -> int:
    """Return a share of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST_WORKERS, (cores or 1) // processes))
