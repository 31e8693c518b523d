"""Compiler flags of an ISA level, from the tables that archspec reads from its own data."""

import archspec.cpu

from builder.domain.isa import IsaLevel
from builder.domain.version import CudaVersion
from builder.errors import CellarError

# nvcc's manual of this toolkit (section 4.2.1.2) is the first known to have the option.
_TEMPORARY_BESIDE_OBJECT = CudaVersion(11, 2)


def compiler_flags(level: IsaLevel, compiler: str, version: str) -> tuple[str, ...]:
    """Give the flags that make `compiler` (gcc, clang) `version` emit code of `level` at most.

    A compiler that cannot reach the level, or that archspec does not know, is a CellarError.
    """
    target = archspec.cpu.TARGETS[level.value.replace("-", "_")]
    try:
        flags = target.optimization_flags(compiler, version)
    except archspec.cpu.UnsupportedMicroarchitecture:
        flags = ""
    if not flags:
        message = f"{compiler} {version} cannot compile for {level}"
        raise CellarError(message, hint=_remedy(level, compiler))
    return tuple(flags.split())


def nvcc_flags(host_flags: tuple[str, ...], cuda: CudaVersion) -> tuple[str, ...]:
    """Give nvcc's spelling of host compiler flags, with what makes its objects the same each time.

    nvcc itself takes no -march. Its temporary files are named after its process, and objects hold
    these names; beside the object they are named after the source.
    """
    named = ("--objdir-as-tempdir",) if cuda >= _TEMPORARY_BESIDE_OBJECT else ()
    return (*named, *(part for flag in host_flags for part in ("-Xcompiler", flag)))


def _remedy(level: IsaLevel, compiler: str) -> str:
    if compiler in {"gcc", "clang"}:
        return f"take a newer {compiler}, or an ISA level below {level}"
    return "name gcc or clang; nvcc takes its host compiler's flags"
