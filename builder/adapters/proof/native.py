"""Workloads of an image on this host's own CPU: the only proof of AVX-512, and of GPU images."""

import re
import shutil
import time
from pathlib import Path

from builder.adapters import process
from builder.domain.proof import Ending, FaultSite, Outcome, Workload
from builder.errors import HostError

_CPUINFO = Path("/proc/cpuinfo")
_GPU = Path("/dev/nvidiactl")
_SIGILL = 128 + 4
_TIMED_OUT = (124, 137)
_ENGINE_FAILED = 125  # of `docker run`: the workload never began
_TAIL_LINES = 20


def cpu_name(path: Path = _CPUINFO) -> str:
    """Return what this host's CPU calls itself."""
    match = re.search(r"^model name\s*:\s*(.+)$", _text(path), re.MULTILINE)
    return match[1].strip() if match else "a CPU without a name"


def cpu_flags(path: Path = _CPUINFO) -> tuple[str, ...]:
    """Return the features of this host's CPU."""
    match = re.search(r"^flags\s*:(.*)$", _text(path), re.MULTILINE)
    return tuple(match[1].split()) if match else ()


class NativeImage:
    """A local image whose workloads run in containers, each fresh and without a network."""

    def __init__(self, reference: str) -> None:
        self._reference = reference

    def run(self, workload: Workload, *, limit: int) -> Outcome:
        """Run one workload for `limit` seconds at most; where a CPU refuses, nothing says what."""
        timeout = shutil.which("timeout") or "timeout"
        gpus = ["--gpus", "all"] if _GPU.exists() else []
        argv = [
            timeout,
            "--kill-after=10",
            str(limit),
            "docker",
            "run",
            "--rm",
            "--network",
            "none",
        ]
        began = time.monotonic()
        code, tail = 0, ""
        try:
            process.run([*argv, *gpus, self._reference, *workload.argv])
        except process.ToolError as error:
            code, tail = error.code, error.tail
        if code == _ENGINE_FAILED:
            message = f"{self._reference} cannot be started: {tail.splitlines()[-1]}"
            raise HostError(message, hint="`docker info` tells whether the daemon is well")
        ending = _ending(code)
        return Outcome(
            workload=workload,
            ending=ending,
            seconds=time.monotonic() - began,
            sites=(FaultSite(library="", address=0),) if ending is Ending.SIGILL else (),
            tail="\n".join(tail.splitlines()[-_TAIL_LINES:]),
        )


def _ending(code: int) -> Ending:
    if code == 0:
        return Ending.PASSED
    if code in _TIMED_OUT:
        return Ending.TIMEOUT
    return Ending.SIGILL if code == _SIGILL else Ending.FAILED


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
