"""Flags by compiler version: both spellings of a level, and the compilers that cannot reach it."""

import pytest

from builder.adapters.engines.compiler_flags import compiler_flags, nvcc_flags
from builder.domain.isa import IsaLevel
from builder.domain.version import CudaVersion
from builder.errors import CellarError

GCC9_V2 = "-march=x86-64 -mtune=generic -mcx16 -msahf -mpopcnt -msse3 -msse4.1 -msse4.2 -mssse3"


@pytest.mark.parametrize(
    ("level", "compiler", "version", "flags"),
    [
        (IsaLevel.V1, "gcc", "9.4.0", "-march=x86-64 -mtune=generic"),
        (IsaLevel.V2, "gcc", "9.4.0", GCC9_V2),
        (IsaLevel.V2, "gcc", "12.2.0", "-march=x86-64-v2 -mtune=generic"),
        (IsaLevel.V4, "clang", "14.0.6", "-march=x86-64-v4 -mtune=generic"),
    ],
    ids=["v1", "v2-expanded", "v2-named", "clang"],
)
def test_flags(level: IsaLevel, compiler: str, version: str, flags: str) -> None:
    assert compiler_flags(level, compiler, version) == tuple(flags.split())


@pytest.mark.parametrize(
    ("level", "compiler", "version", "hint"),
    [
        (IsaLevel.V4, "gcc", "4.8.5", "take a newer gcc, or an ISA level below x86-64-v4"),
        (IsaLevel.V2, "nvcc", "11.1", "name gcc or clang; nvcc takes its host compiler's flags"),
    ],
    ids=["too-old", "nvcc"],
)
def test_a_compiler_that_cannot(level: IsaLevel, compiler: str, version: str, hint: str) -> None:
    with pytest.raises(CellarError) as caught:
        compiler_flags(level, compiler, version)
    assert str(caught.value) == f"{compiler} {version} cannot compile for {level}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("cuda", "first"),
    [("11.1", ()), ("11.2", ("--objdir-as-tempdir",)), ("13.0", ("--objdir-as-tempdir",))],
    ids=["before-the-option", "the-first-with-it", "later"],
)
def test_nvcc_passes_host_flags_on(cuda: str, first: tuple[str, ...]) -> None:
    assert nvcc_flags(("-march=x86-64-v2", "-O2"), CudaVersion.parse(cuda)) == (
        *first, "-Xcompiler", "-march=x86-64-v2", "-Xcompiler", "-O2",
    )  # fmt: skip
