"""Emulated CPUs: which qemu model shows a level and no more, and what its CPUID words mean."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from builder.domain.fault import did_you_mean
from builder.domain.isa import IsaLevel
from builder.errors import UsageError

# Checked by running each instruction under each model (qemu 7.2). qemu64 has SSE3, CMPXCHG16B and
# LAHF in 64 bit, which the x86-64 level does not promise. AVX-512 is in no model.
MODEL_OF_LEVEL = {
    IsaLevel.V1: "qemu64,-pni,-cx16,-lahf-lm",
    IsaLevel.V2: "Nehalem",
    IsaLevel.V3: "Haswell",
}

_LEAF1_EDX = {
    0: "fpu", 3: "pse", 4: "tsc", 5: "msr", 6: "pae", 8: "cx8", 11: "sep", 13: "pge", 15: "cmov",
    16: "pat", 17: "pse36", 19: "clflush", 23: "mmx", 24: "fxsr", 25: "sse", 26: "sse2", 27: "ss",
}  # fmt: skip
_LEAF1_ECX = {
    0: "pni", 1: "pclmulqdq", 9: "ssse3", 12: "fma", 13: "cx16", 19: "sse4_1", 20: "sse4_2",
    22: "movbe", 23: "popcnt", 25: "aes", 26: "xsave", 27: "osxsave", 28: "avx", 29: "f16c",
    30: "rdrand", 31: "hypervisor",
}  # fmt: skip
_LEAF7_EBX = {
    0: "fsgsbase", 3: "bmi1", 5: "avx2", 7: "smep", 8: "bmi2", 9: "erms", 16: "avx512f",
    17: "avx512dq", 18: "rdseed", 19: "adx", 20: "smap", 23: "clflushopt", 24: "clwb",
    28: "avx512cd", 29: "sha_ni", 30: "avx512bw", 31: "avx512vl",
}  # fmt: skip
_EXTENDED_EDX = {11: "syscall", 20: "nx", 26: "pdpe1gb", 27: "rdtscp", 29: "lm"}
_EXTENDED_ECX = {
    0: "lahf_lm", 5: "abm", 6: "sse4a", 8: "3dnowprefetch", 11: "xop", 16: "fma4", 21: "tbm",
}  # fmt: skip
_WORDS = (
    ("1", "edx", _LEAF1_EDX), ("80000001", "edx", _EXTENDED_EDX), ("1", "ecx", _LEAF1_ECX),
    ("80000001", "ecx", _EXTENDED_ECX), ("7", "ebx", _LEAF7_EBX),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuChoice:
    """What a run emulates: a qemu model, and the level that it stands for, if it was named."""

    model: str
    level: IsaLevel | None


def choose_cpu(text: str, known: Collection[str]) -> CpuChoice:
    """Read a level name or a qemu model (`known` are qemu's own); anything else is a UsageError."""
    levels = {level.value: level for level in IsaLevel}
    if text in levels:
        level = levels[text]
        if level not in MODEL_OF_LEVEL:
            message = f"{level} cannot be proven under qemu, which has no AVX-512"
            hint = "prove it natively: --native, on a host with a CPU of it"
            raise UsageError(message, hint=hint)
        return CpuChoice(model=MODEL_OF_LEVEL[level], level=level)
    name = text.split(",", maxsplit=1)[0]
    if name not in known:
        message = f"{name!r} is neither an ISA level nor a CPU model of qemu"
        hint = f"a level ({', '.join(levels)}) or a model from `qemu-x86_64-static -cpu help`"
        raise UsageError(message, hint=hint + did_you_mean(name, [*levels, *known]))
    return CpuChoice(model=text, level=None)


def flags(words: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """Name the features of CPUID words, by leaf (hex) and register, as /proc/cpuinfo does."""
    return tuple(
        name
        for leaf, register, names in _WORDS
        for bit, name in names.items()
        if words[leaf][register] >> bit & 1
    )


def cpuinfo(model: str, features: Collection[str]) -> str:
    """Write the /proc/cpuinfo of one emulated processor."""
    return (
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 0\n"
        f"model name\t: qemu {model}\nstepping\t: 0\nphysical id\t: 0\nsiblings\t: 1\n"
        "core id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\n"
        f"flags\t\t: {' '.join(features)}\nclflush size\t: 64\ncache_alignment\t: 64\n"
        "address sizes\t: 40 bits physical, 48 bits virtual\n\n"
    )
