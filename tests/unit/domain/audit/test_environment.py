"""Variables that force a level; the three were seen to end in SIGILL."""

import pytest

from builder.domain.audit.environment import forced
from builder.domain.isa import IsaLevel


@pytest.mark.parametrize(
    ("environment", "level", "expected"),
    [
        ({}, IsaLevel.V1, ()),
        ({"PATH": "/bin", "OPENBLAS_CORETYPE": ""}, IsaLevel.V1, ()),
        (
            {"OPENBLAS_CORETYPE": "Haswell"},
            IsaLevel.V2,
            ("OPENBLAS_CORETYPE=Haswell forces x86-64-v3",),
        ),
        ({"OPENBLAS_CORETYPE": "Haswell"}, IsaLevel.V3, ()),
        ({"ATEN_CPU_CAPABILITY": "default"}, IsaLevel.V1, ()),
        (
            {"ATEN_CPU_CAPABILITY": "avx2", "MKL_DEBUG_CPU_TYPE": "5"},
            IsaLevel.V2,
            ("ATEN_CPU_CAPABILITY=avx2 forces x86-64-v3", "MKL_DEBUG_CPU_TYPE=5 forces x86-64-v3"),
        ),
        (
            {"OPENBLAS_CORETYPE": "Zen9"},
            IsaLevel.V3,
            ("OPENBLAS_CORETYPE=Zen9 forces an unknown level",),
        ),
    ],
    ids=["none", "unset", "above", "within", "default", "two", "unknown"],
)
def test_forced(environment: dict[str, str], level: IsaLevel, expected: tuple[str, ...]) -> None:
    assert forced(environment, level) == expected
