"""Splits the scenes over processes, one for each GPU, started here or by torchrun.

The processes share nothing but the journal: no process group, no NCCL, and the metrics are those of
one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Callable, List, Sequence

from bevformer_eval.errors import EvalError, ExitCode, HostError, UsageError

_POLL = 0.5  # seconds


@dataclass(frozen=True)
class Place:
    """Which process this is: `rank` of `count`; the first one puts the results together."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0


def place(share: str) -> Place:
    """Return this process's place: from `--share RANK/COUNT`, else from torchrun's environment."""
    if share:
        number, _, total = share.partition("/")
        return Place(int(number), int(total), int(number))
    try:
        rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
    except ValueError as error:
        raise UsageError(
            f"RANK, WORLD_SIZE or LOCAL_RANK is not a number: {error}", "unset them"
        ) from error
    if not 0 <= rank < count:
        raise UsageError(
            f"RANK={rank} is not below WORLD_SIZE={count}", "unset them, or start with torchrun"
        )
    return Place(rank, count, local)


def run_shares(argv: Sequence[str], count: int, watch: Callable[[], None]) -> None:
    """Run this command once for each share of the scenes; call `watch` until all are done.

    If one fails, the others are stopped and its exit code is passed on; Ctrl-C stops all.
    """
    base = [sys.executable, "-m", "bevformer_eval", *argv]
    children = [
        subprocess.Popen(  # noqa: S603 - this very program
            [*base, "--share", f"{rank}/{count}"], stdout=subprocess.DEVNULL
        )
        for rank in range(count)
    ]
    try:
        while any(child.poll() is None for child in children):
            _check(children)
            watch()
            time.sleep(_POLL)
        _check(children)
        watch()
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            child.wait()


def _check(children: List[subprocess.Popen[bytes]]) -> None:
    for rank, child in enumerate(children):
        code = child.poll()
        if code:
            if code == ExitCode.INTERRUPTED:
                raise KeyboardInterrupt
            raise EvalError(
                f"process {rank} of {len(children)} failed with exit code {code}, see its message",
                "the same command goes on after the last finished scene",
                ExitCode(code) if code in set(ExitCode) else ExitCode.HOST,
            )


def check_gpus(count: int) -> None:
    """Raise HostError if torch sees fewer GPUs than asked for."""
    import torch

    available = torch.cuda.device_count()
    if count > available:
        raise HostError(
            f"--gpus {count}, but torch sees {available} GPU(s)",
            "lower --gpus, or check nvidia-smi",
        )


def wait_for(finished: Callable[[], bool]) -> None:
    """Wait until the other processes have recorded their scenes; stop if the launcher is gone."""
    parent = os.getppid()
    while not finished():
        if os.getppid() != parent:
            raise HostError(
                "the launcher is gone; another process may have failed", "see the messages above"
            )
        time.sleep(_POLL)
