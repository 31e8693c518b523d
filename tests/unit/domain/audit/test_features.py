"""Feature bits: which level has them all, and what no level has."""

import pytest

from builder.domain.audit import features
from builder.domain.isa import IsaLevel


@pytest.mark.parametrize(
    ("names", "level"),
    [
        ((), IsaLevel.V1),
        (("sse3",), IsaLevel.V2),
        (("popcnt", "lzcnt"), IsaLevel.V3),
        (("avx2", "avx512vl"), IsaLevel.V4),
        (("aes",), None),
        (("avx", "aes"), None),
    ],
    ids=str,
)
def test_the_level_of_some_features(names: tuple[str, ...], level: IsaLevel | None) -> None:
    bits = sum(features.BITS[name] for name in names)
    assert features.level_of(bits) is level
    assert features.names_of(bits) == names


@pytest.mark.parametrize("level", IsaLevel, ids=str)
def test_levels_allow_what_the_psabi_says(level: IsaLevel) -> None:
    spelled = {"cx16": "cmpxchg16b", "lahf_lm": "lahf_sahf", "abm": "lzcnt"}
    allowed = {spelled.get(name, name) for name in level.features}
    assert set(features.names_of(features.above(level))) == set(features.NAMES) - allowed


def test_marks_are_no_features() -> None:
    assert not (features.ASKS_CPU | features.NOT_CODE) & features.above(IsaLevel.V1)
    assert max(features.BITS.values()) < features.ASKS_CPU
