"""Versions as ordered values: 10.2 sorts after 9.2."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from builder.errors import UsageError

_TWO = re.compile(r"(\d+)\.(\d+)", re.ASCII)
_DRIVER = re.compile(r"\d+(\.\d+){0,2}", re.ASCII)


class CudaVersion(NamedTuple):
    """A CUDA toolkit version, major.minor."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `11.1`; anything else is a UsageError."""
        return cls(*_two_numbers(text, "CUDA version", "11.1"))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class PythonVersion(NamedTuple):
    """A Python minor version."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3.11`; anything else is a UsageError."""
        return cls(*_two_numbers(text, "Python version", "3.11"))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def tag(self) -> str:
        """Return the wheel tag of CPython, as `cp311`."""
        return f"cp{self.major}{self.minor}"


@dataclass(frozen=True, slots=True, order=True)
class DriverVersion:
    """An NVIDIA driver version; ordered by number, printed as NVIDIA writes it (470.57.02)."""

    numbers: tuple[int, ...]
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `550.54.14`, `580.88` or a branch, `580`; anything else is a UsageError."""
        if not _DRIVER.fullmatch(text):
            message = f"{text!r} is not a driver version"
            raise UsageError(message, hint="write it as nvidia-smi does, for example 550.54.14")
        return cls(tuple(int(number) for number in text.split(".")), text)

    def __str__(self) -> str:
        return self.text


def _two_numbers(text: str, what: str, example: str) -> tuple[int, int]:
    match = _TWO.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a {what}"
        raise UsageError(message, hint=f"write it as major.minor, for example {example}")
    return int(match[1]), int(match[2])
