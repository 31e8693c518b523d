"""Environment variables that force a library to code which it would not choose by itself."""

from collections.abc import Mapping

from builder.domain.isa import IsaLevel

_OPENBLAS = {
    IsaLevel.V1: ("prescott", "core2", "generic", "atom", "opteron", "opteron_sse3", "katmai"),
    IsaLevel.V2: ("penryn", "dunnington", "nehalem", "barcelona", "bobcat", "nano"),
    IsaLevel.V3: ("sandybridge", "haswell", "zen", "bulldozer", "piledriver", "steamroller",
                  "excavator"),
    IsaLevel.V4: ("skylakex", "cooperlake", "sapphirerapids"),
}  # fmt: skip
_ATEN = {"default": IsaLevel.V1, "avx": IsaLevel.V3, "avx2": IsaLevel.V3, "avx512": IsaLevel.V4}
_MKL = {"4": IsaLevel.V3, "5": IsaLevel.V3, "6": IsaLevel.V4, "7": IsaLevel.V4}
_FORCING: dict[str, dict[str, IsaLevel]] = {
    "OPENBLAS_CORETYPE": {name: level for level, names in _OPENBLAS.items() for name in names},
    "ATEN_CPU_CAPABILITY": _ATEN,
    "MKL_DEBUG_CPU_TYPE": _MKL,
}


def forced(environment: Mapping[str, str], level: IsaLevel) -> tuple[str, ...]:
    """Say which variables of an image force code above `level`; each was seen to end in SIGILL.

    A value that is not known counts as above: what it chooses cannot be told.
    """
    return tuple(
        f"{name}={value} forces {known.get(value.lower(), 'an unknown level')}"
        for name, known in _FORCING.items()
        for value in [environment.get(name, "")]
        if value and known.get(value.lower(), IsaLevel.V4) > level
    )
