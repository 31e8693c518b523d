"""ISA names in symbols and source units: a hint that is only believed with other evidence."""

import re
from functools import lru_cache

from builder.domain.isa import IsaLevel

# How compilers, MKL, OpenBLAS, numpy, ATen, fbgemm, oneDNN, Eigen, libjpeg and x264 mark code of
# one ISA. A token is separated by something that is no lower-case letter, or starts a camel word.
_TOKENS: dict[IsaLevel | None, tuple[str, ...]] = {
    IsaLevel.V2: (
        "sse3", "ssse3", "sse41", "sse42", "sse4_1", "sse4_2", "sse4", "popcnt", "nehalem",
        "core2", "penryn", "dunnington", "atom", "barcelona", "x86_v2", "mc", "mc3", "prescott",
    ),
    IsaLevel.V3: (
        "avx", "avx2", "fma", "fma3", "f16c", "bmi", "bmi1", "bmi2", "lzcnt", "movbe", "haswell",
        "zen", "sandybridge", "x86_v3", "avxfma", "ymm",
    ),
    IsaLevel.V4: (
        "avx512", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512_skx",
        "skx", "skylakex", "x86_v4", "avx512core", "avx3", "zmm",
    ),
    None: (
        "aesni", "aes", "pclmul", "pclmulqdq", "vpclmul", "sha_ni", "shani", "gfni", "vaes", "vnni",
        "avx512vnni", "avx512_vnni", "avxvnni", "amx", "avx512_icl", "avx512_spr", "avx512_clx",
        "icl", "spr", "cooperlake", "sapphirerapids", "avx512_bf16", "avx512_fp16", "rdrand",
        "rtm", "avx512vbmi", "avx512_knl", "avx512_knm", "avx512ifma", "mic", "knl", "knm",
        "avx512_mic", "xop", "fma4", "avx2fma4", "avxfma4", "bulldozer", "piledriver",
        "steamroller", "excavator", "bdz", "opteron", "athlon",
    ),
}  # fmt: skip
# Intel's libraries mark variants by two characters, which only count between underscores.
_INTEL: dict[IsaLevel | None, tuple[str, ...]] = {
    IsaLevel.V2: ("m7", "w7", "ex", "u8", "n8", "h8", "v8", "y8", "p8", "e2"),
    IsaLevel.V3: ("e9", "g9", "l9", "h9"),
    IsaLevel.V4: ("z0", "k0"),
    None: ("b3",),
}
# What a dispatcher calls the variant that needs nothing.
_PLAIN = ("sse2", "sse", "default", "generic", "baseline", "scalar", "def", "x86_64")
_SHORT = {token: level for level, tokens in _INTEL.items() for token in tokens}
_LONG = {token: level for level, tokens in _TOKENS.items() for token in tokens}
_LEVEL_OF = _LONG | _SHORT


def _pattern() -> re.Pattern[str]:
    short = rf"(?<=_)(?:{'|'.join(_SHORT)})(?=_|$)"
    vml = rf"(?<=_)(?:{'|'.join(_SHORT).upper()})(?=(?:HA|LA|EP)[a-z]{{3}})"
    long = sorted(_LONG, key=len, reverse=True)  # the longest token first: avx512 before avx
    shapes = [f"(?<![a-z])(?:{'|'.join(long)})"]
    shapes += [spelling for token in long for spelling in (token.capitalize(), token.upper())]
    return re.compile(f"{short}|{vml}|(?:{'|'.join(shapes)})(?![a-z])")


_ANY = _pattern()
_BASE = re.compile(
    rf"(?<![a-z])(?:{'|'.join((*_PLAIN, *(word.upper() for word in _PLAIN)))})(?![a-z])"
)
# Intel's short vector math library names its functions by width: 8 doubles are 512 bits.
_SVML = re.compile(r"__svml_[a-z]\w*?(f16|f8|4|8)(?:_[a-z]+)?$")
_IN_UNITS = re.compile(r"avx512(?:vnni)?|avx2?|ssse3|sse4[._]?[12]?|sse3")


@lru_cache(maxsize=1 << 16)
def promised(text: str) -> tuple[IsaLevel | None, ...]:
    """Return the levels that the ISA tokens in a name promise; None stands for outside all."""
    vector = _SVML.match(text)
    if vector:
        return (IsaLevel.V4 if vector[1] in ("8", "f16") else IsaLevel.V3,)
    return tuple(_LEVEL_OF[match.group().lower()] for match in _ANY.finditer(text))


def promises(text: str, level: IsaLevel | None) -> bool:
    """Say whether a name promises at least `level`: avx2 covers v3, not v4."""
    found = promised(text)
    if not found:
        return False
    if None in found:
        return True
    return level is not None and level <= max(rank for rank in found if rank is not None)


@lru_cache(maxsize=4096)
def unit_promises(unit: str, level: IsaLevel | None) -> bool:
    """Say the same of a source file's name, where the token may stand anywhere (dispavx.c)."""
    loose = " ".join(match.group() for match in _IN_UNITS.finditer(unit.lower()))
    return promises(unit, level) or promises(loose, level)


@lru_cache(maxsize=1 << 16)
def stem(symbol: str) -> str:
    """Return the symbol without its ISA tokens and the digits that count their length."""
    return re.sub(r"\d+", "", _BASE.sub("", _ANY.sub("", symbol)))
