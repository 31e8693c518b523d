"""The four x86-64 levels of the System V psABI, ordered, with the CPU features each adds."""

from collections.abc import Collection
from enum import Enum
from functools import total_ordering

from builder.errors import UsageError


@total_ordering
class IsaLevel(Enum):
    """One psABI level; a higher level holds every feature of the lower ones."""

    V1 = "x86-64"
    V2 = "x86-64-v2"
    V3 = "x86-64-v3"
    V4 = "x86-64-v4"

    def __lt__(self, other: object) -> bool:
        """Order by number, so that x86-64 < x86-64-v2 < x86-64-v3 < x86-64-v4."""
        return self.number < other.number if isinstance(other, IsaLevel) else NotImplemented

    def __str__(self) -> str:
        """Give the psABI name, the one that tags, files and messages use."""
        return self.value

    @property
    def number(self) -> int:
        """Give 1 for x86-64, and the digit of the name for the others."""
        return _NUMBERS[self.value]

    @property
    def adds(self) -> frozenset[str]:
        """Give the features that this level adds to the one below, by their archspec names."""
        return _ADDED_FEATURES[self]

    @property
    def features(self) -> frozenset[str]:
        """Give every feature of this level beyond the x86-64 baseline, by archspec names."""
        return frozenset().union(*(level.adds for level in IsaLevel if level <= self))

    def missing_from(self, host: Collection[str]) -> tuple[str, ...]:
        """Name, sorted, the features of this level that `host` lacks (/proc/cpuinfo flags)."""
        known = {CPUINFO_ALIASES.get(flag, flag) for flag in host}
        return tuple(sorted(self.features - known))


_NUMBERS = {"x86-64": 1, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4}

# psABI, "Micro-Architecture Levels". Spelled as archspec does: abm is LZCNT, cx16 is CMPXCHG16B.
_ADDED_FEATURES = {
    IsaLevel.V1: frozenset[str](),
    IsaLevel.V2: frozenset({"cx16", "lahf_lm", "popcnt", "sse3", "sse4_1", "sse4_2", "ssse3"}),
    IsaLevel.V3: frozenset(
        {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"},
    ),
    IsaLevel.V4: frozenset({"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}),
}

# Linux prints SSE3 under its first name, Prescott New Instructions; Intel hosts print LZCNT as abm.
CPUINFO_ALIASES = {"pni": "sse3", "lzcnt": "abm", "sse4.1": "sse4_1", "sse4.2": "sse4_2"}


def parse_level(text: str) -> IsaLevel:
    """Read a psABI level name; anything else is a UsageError that lists the valid names."""
    try:
        return IsaLevel(text.strip())
    except ValueError:
        names = ", ".join(level.value for level in IsaLevel)
        message = f"ISA level {text!r} is unknown"
        raise UsageError(message, hint=f"use one of {names}") from None


def highest_level(host: Collection[str]) -> IsaLevel:
    """Give the highest level whose features all stand in `host`, a list of /proc/cpuinfo flags."""
    return max(level for level in IsaLevel if not level.missing_from(host))
