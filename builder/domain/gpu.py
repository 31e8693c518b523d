"""GPU architectures: which device code runs on which device."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from builder.errors import UsageError

_CAPABILITY = re.compile(r"(\d+)\.(\d)", re.ASCII)


class ComputeCapability(NamedTuple):
    """A CUDA compute capability, as 8.6."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `8.6`; anything else is a UsageError."""
        match = _CAPABILITY.fullmatch(text)
        if match is None:
            message = f"{text!r} is not a compute capability"
            raise UsageError(message, hint="write it as major.minor, for example 8.6")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def sm(self) -> str:
        """Return the name that nvcc uses, as `sm_86`."""
        return f"sm_{self.major}{self.minor}"


class CodeMode(IntEnum):
    """How device code comes to run on a device; the greater the better."""

    NONE = 0
    JIT = 1  # the driver compiles PTX when the program starts
    NATIVE = 2


def cubin_runs(built: ComputeCapability, device: ComputeCapability) -> bool:
    """Say whether a cubin runs: the same major, at the same minor or a later one."""
    return built.major == device.major and built.minor <= device.minor


def ptx_runs(built: ComputeCapability, device: ComputeCapability) -> bool:
    """Say whether a driver can compile PTX for a device: of its own capability or a later one."""
    return built <= device


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """The device code that a library carries."""

    cubins: tuple[ComputeCapability, ...]  # ascending
    ptx: tuple[ComputeCapability, ...] = ()

    def mode(self, device: ComputeCapability) -> CodeMode:
        """Say how this code runs on `device`."""
        if any(cubin_runs(cubin, device) for cubin in self.cubins):
            return CodeMode.NATIVE
        if any(ptx_runs(ptx, device) for ptx in self.ptx):
            return CodeMode.JIT
        return CodeMode.NONE

    def __str__(self) -> str:
        ptx = " and ".join(f"PTX of {ptx}" for ptx in self.ptx)
        if not self.cubins:
            return f"{ptx} only" if ptx else "no device code"
        first, last = self.cubins[0].sm, self.cubins[-1].sm
        span = first if first == last else f"{first} to {last}"
        return f"{span} and {ptx or 'no PTX'}"
