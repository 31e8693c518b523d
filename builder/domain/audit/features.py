"""CPU features that instructions can need, each a bit, ranked by the psABI level that adds it."""

from functools import cache, lru_cache

from builder.domain.isa import IsaLevel

# Names are those of the decoder's CPUID table in lower case. The psABI's set of a level is meant
# for the instructions that it allows: OSXSAVE has none, and lahf_lm is LAHF and SAHF in 64 bit.
_LEVELS = {
    IsaLevel.V2: ("cmpxchg16b", "lahf_sahf", "popcnt", "sse3", "ssse3", "sse4_1", "sse4_2"),
    IsaLevel.V3: ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
    IsaLevel.V4: ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}

# In no level: whoever uses one must ask the CPU first, whatever the level. Grouped where one
# CPUID leaf family is enough to tell a reader what is needed.
_OUTSIDE = (
    "aes", "pclmulqdq", "sha", "sha512", "sm3", "sm4", "gfni", "vaes", "vpclmulqdq",
    "rdrand", "rdseed", "adx", "rtm", "fsgsbase", "rdpid", "pku", "waitpkg",
    "clflushopt", "clwb", "movdiri", "movdir64b", "enqcmd", "serialize", "cmpccxadd", "rao_int",
    "fma4", "xop", "tbm", "lwp", "sse4a", "d3now", "mpx", "amx",
    "avx_vnni", "avx_ifma", "avx_ne_convert", "avx512_extra", "xsavec", "monitorx", "uintr",
)  # fmt: skip

NAMES: tuple[str, ...] = (*(name for names in _LEVELS.values() for name in names), *_OUTSIDE)
BITS: dict[str, int] = {name: 1 << place for place, name in enumerate(NAMES)}

# Two more bits that are no feature: what a function tells about itself.
ASKS_CPU = 1 << 61  # holds CPUID or XGETBV
NOT_CODE = 1 << 62  # holds bytes that are no instruction, so that its decoding is not to be trusted

_RANKS = {name: level for level, names in _LEVELS.items() for name in names}
_FEATURE_BITS = (1 << len(NAMES)) - 1
SILENT = BITS["lzcnt"]  # runs as BSR on a CPU without it: a wrong result instead of SIGILL


@cache
def above(level: IsaLevel) -> int:
    """Give the bits of all features that a CPU of `level` need not have."""
    allowed = sum(BITS[name] for name, rank in _RANKS.items() if rank <= level)
    return _FEATURE_BITS & ~allowed


def names_of(bits: int) -> tuple[str, ...]:
    """Name the features of `bits`, lowest level first."""
    return tuple(name for name in NAMES if bits & BITS[name])


@lru_cache(maxsize=4096)
def level_of(bits: int) -> IsaLevel | None:
    """Give the lowest level that has all features of `bits`; None when no level has."""
    for level in IsaLevel:
        if not bits & above(level):
            return level
    return None
