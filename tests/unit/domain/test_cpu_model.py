"""Which emulated CPU a word means, and what its CPUID words say."""

import pytest

from builder.domain.cpu_model import MODEL_OF_LEVEL, choose_cpu, cpuinfo, flags
from builder.domain.isa import IsaLevel, highest_level
from builder.errors import UsageError

KNOWN = ("qemu64", "Nehalem", "Westmere", "Haswell")

# CPUID words as they read under qemu 7.2: Nehalem.
NEHALEM = {
    "1": {"eax": 0x106A3, "ebx": 0, "ecx": 0x80982201, "edx": 0x78BFBFD},
    "7": {"eax": 0, "ebx": 0, "ecx": 0, "edx": 0},
    "80000001": {"eax": 0, "ebx": 0, "ecx": 1, "edx": 0x20100800},
}


@pytest.mark.parametrize(
    ("text", "model", "level"),
    [
        ("x86-64", "qemu64,-pni,-cx16,-lahf-lm", IsaLevel.V1),
        ("x86-64-v2", "Nehalem", IsaLevel.V2),
        ("x86-64-v3", "Haswell", IsaLevel.V3),
        ("Westmere", "Westmere", None),
        ("qemu64,-pni", "qemu64,-pni", None),
    ],
)
def test_choice(text: str, model: str, level: IsaLevel | None) -> None:
    chosen = choose_cpu(text, KNOWN)
    assert (chosen.model, chosen.level) == (model, level)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("x86-64-v4", "x86-64-v4 cannot be proven under qemu", "natively"),
        ("Pentium9", "'Pentium9' is neither an ISA level nor a CPU model", "x86-64-v2"),
        ("nehalem", "'nehalem' is neither", "did you mean Nehalem?"),
        ("", "'' is neither", "-cpu help"),
    ],
)
def test_unknown_cpus_are_one_line(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_cpu(text, KNOWN)
    assert str(caught.value).startswith(message)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_flags_of_nehalem_are_those_of_v2() -> None:
    found = flags(NEHALEM)
    assert highest_level(found) is IsaLevel.V2
    assert {"pni", "ssse3", "sse4_2", "popcnt", "cx16", "lahf_lm"} <= set(found)
    assert not {"avx", "aes", "movbe"} & set(found)


def test_cpuinfo_holds_the_flags_that_programs_look_for() -> None:
    text = cpuinfo("Nehalem", ("fpu", "sse4_2"))
    assert "flags\t\t: fpu sse4_2\n" in text
    assert text.endswith("\n\n")


def test_every_level_but_the_last_has_a_model() -> None:
    assert set(MODEL_OF_LEVEL) == set(IsaLevel) - {IsaLevel.V4}
