"""GPU architectures: which device code runs on which device."""

import re
from typing import NamedTuple, Self

from builder.errors import UsageError

_CAPABILITY = re.compile(r"(\d+)\.(\d)")


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


def cubin_runs(built: ComputeCapability, device: ComputeCapability) -> bool:
    """Say whether a cubin runs: the same major, at the same minor or a later one."""
    return built.major == device.major and built.minor <= device.minor
