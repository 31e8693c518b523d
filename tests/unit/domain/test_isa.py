"""The ISA levels: their order, their features against archspec's, and how they are read."""

import archspec.cpu
import pytest

from builder.domain.isa import IsaLevel, highest_level, parse_level
from builder.errors import CellarError

V2_CPUINFO = ("cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3", "sse2")


def test_levels_are_ordered_by_number() -> None:
    assert [level.number for level in sorted(IsaLevel, reverse=True)] == [4, 3, 2, 1]


def test_only_levels_compare() -> None:
    with pytest.raises(TypeError):
        _ = IsaLevel.V1 < "x86-64-v2"


@pytest.mark.parametrize("level", IsaLevel, ids=str)
def test_features_are_those_of_archspec(level: IsaLevel) -> None:
    baseline = {"mmx", "sse", "sse2"}  # archspec leaves x86_64 empty and lists these from v2 on
    known = archspec.cpu.TARGETS[level.value.replace("-", "_")].features
    assert level.features == known - baseline


@pytest.mark.parametrize("level", IsaLevel, ids=str)
def test_names_are_read_back(level: IsaLevel) -> None:
    assert parse_level(f" {level} ") is level


@pytest.mark.parametrize("text", ["", "x86-64-v5", "x86_64_v2", "avx2", "X86-64"])
def test_other_names_are_refused_with_the_valid_ones(text: str) -> None:
    with pytest.raises(CellarError) as caught:
        parse_level(text)
    assert str(caught.value) == f"ISA level {text!r} is unknown"
    assert caught.value.hint == "use one of x86-64, x86-64-v2, x86-64-v3, x86-64-v4"


@pytest.mark.parametrize(
    ("flags", "level", "missing_of_next"),
    [
        pytest.param(("sse2",), IsaLevel.V1, ("cx16", "lahf_lm", "popcnt"), id="no-sse3"),
        pytest.param(V2_CPUINFO, IsaLevel.V2, ("abm", "avx", "avx2"), id="no-avx"),
        pytest.param((*V2_CPUINFO, "avx", "lzcnt"), IsaLevel.V2, ("avx2", "bmi1"), id="avx-only"),
    ],
)
def test_a_host_is_placed_by_its_flags(
    flags: tuple[str, ...], level: IsaLevel, missing_of_next: tuple[str, ...]
) -> None:
    following = list(IsaLevel)[level.number]
    assert highest_level(flags) is level
    assert following.missing_from(flags)[: len(missing_of_next)] == missing_of_next
