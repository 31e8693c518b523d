"""Small ELF files of our own (tests/assets/isa), each with the verdict that it was made for."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.adapters.audit.elf import ElfError, ElfFile
from builder.adapters.audit.elf_audit import audit_file, identity_of
from builder.domain.audit.ownership import PackageRecord
from builder.domain.isa import IsaLevel

ASSETS = Path(__file__).parents[3] / "assets" / "isa"
MADE = sorted(ASSETS.glob("*.elf"))

# name -> verdict and signals at x86-64, and the functions that are listed
VERDICTS: dict[str, tuple[str, list[str], list[str]]] = {
    "clean": ("clean", [], []),
    "init-fail": ("init-fail", ["starts"], ["begin > kernel"]),
    "init-chain": ("init-fail", ["starts"], ["begin > helper > kernel"]),
    "init-guarded": ("guarded", ["guard-cpuid"], []),
    "module": ("suspect", ["imported"], ["PyInit_module"]),
    "program": ("init-fail", ["starts"], ["main"]),
    "leaked": ("suspect", ["direct", "table"], ["ordinary > square_sum (leaked)"]),
    "leaked-guarded": ("pointer", ["table", "guard-call"], []),
    "ifunc": ("guarded", ["guard-ifunc"], []),
    "variable": ("guarded", ["guard-variable"], []),
    "variable-wrong": ("suspect", ["direct"], ["sum > wide"]),
    "handed": ("guarded", ["guard-variable"], []),
    "handed-wrong": ("suspect", ["direct"], ["sum > wide"]),
    "queried": ("guarded", ["guard-call"], []),
    "queried-wrong": ("suspect", ["direct"], ["sum > wide"]),
    "table": ("pointer", ["table"], []),
    "named": ("suspect", ["direct"], ["entry > sum_avx2"]),
    "named-asks": ("guarded", ["isa-name"], []),
    "named-lies": ("suspect", ["direct"], ["entry > sum_sse42"]),
    "named-variants": ("guarded", ["variants"], []),
    "exported": ("suspect", ["exported"], ["first", "second"]),
    "direct": ("suspect", ["direct"], ["entry > hidden_sum"]),
    "stripped": ("unknown", ["stripped"], ["entry > "]),
    "lzcnt": ("suspect", ["exported"], ["leading_zeros"]),
    "assembly": ("suspect", ["direct"], ["entry > bare"]),
    "assembly-bare": ("unknown", ["no-function"], [""]),
    "data": ("clean", [], []),
    "data-bare": ("unknown", ["no-function"], [""]),
    "fatbin": ("clean", [], []),
    "fatbin-broken": ("clean", [], []),
    "closed": ("suspect", ["direct"], ["after > own_sum"]),
}
SKIPPED = {"i386": "i386, 32 bit", "object": "no loadable file (ET_REL)"}


def test_every_asset_has_its_verdict() -> None:
    assert {path.stem for path in MADE} == VERDICTS.keys() | SKIPPED.keys()


@pytest.mark.parametrize(("name", "expected"), VERDICTS.items(), ids=VERDICTS.keys())
def test_verdict(name: str, expected: tuple[str, list[str], list[str]]) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    judged = audit.at(IsaLevel.V1)
    assert judged is not None
    assert (audit.skipped, audit.owner, audit.fault) == ("", "", "")
    listed = [
        " > ".join([*(label.symbol for label in f.reached_from), f.function.symbol])
        + (" (leaked)" if f.leaked else "")
        for f in judged.findings
    ]
    signals = [row.signal.value for row in judged.counts]
    assert (judged.verdict.value, signals, listed) == expected


@pytest.mark.parametrize("name", sorted(VERDICTS.keys() - {"closed"}))
def test_nothing_of_these_needs_more_than_v3(name: str) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    assert [audit.verdict(level).value for level in (IsaLevel.V3, IsaLevel.V4)] == ["clean"] * 2


@pytest.mark.parametrize(("name", "why"), SKIPPED.items(), ids=SKIPPED.keys())
def test_other_files_are_named_and_skipped(name: str, why: str) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    assert (audit.skipped, audit.levels) == (why, ())


def test_arm_files_are_named_and_skipped(tmp_path: Path) -> None:
    data = bytearray((ASSETS / "clean.elf").read_bytes())
    data[18] = 183  # EM_AARCH64
    path = tmp_path / "arm.so"
    path.write_bytes(data)
    assert audit_file(path, "arm.so").skipped == "aarch64, 64 bit"


def test_the_site_is_the_first_instruction_above_the_level() -> None:
    judged = audit_file(ASSETS / "assembly.elf", "x").at(IsaLevel.V1)
    assert judged is not None
    (finding,) = judged.findings
    assert finding.instruction == "vpaddd %ymm0,%ymm1,%ymm2"
    assert finding.address == finding.function.address
    assert finding.needs == ("avx", "avx2")


def test_lzcnt_is_silent() -> None:
    audit = audit_file(ASSETS / "lzcnt.elf", "x")
    assert [judged.silent for judged in audit.levels] == [1, 1, 0, 0]


def test_nvidia_files_are_listed_but_never_decoded() -> None:
    record = PackageRecord(package="nvidia-x", files=frozenset({"lib/init-fail.so"}))
    audit = audit_file(ASSETS / "init-fail.elf", "lib/init-fail.so", [record])
    assert (audit.owner, audit.levels, audit.code_bytes) == ("package nvidia-x", (), 0)
    assert audit.verdict(IsaLevel.V1).value == "not audited: licence"


def test_nvidia_code_inside_other_libraries_is_not_decoded_either() -> None:
    path = ASSETS / "closed.elf"
    audit = audit_file(path, "closed")
    with ElfFile(path) as elf:
        whole = sum(section.size for section in elf.code)
    assert audit.contains == ("cublas", "cudnn")
    assert audit.closed_bytes > 0
    assert audit.code_bytes + audit.closed_bytes == whole
    assert [audit.verdict(level).value for level in IsaLevel] == [
        "suspect",
        "suspect",
        "not audited: licence",
        "not audited: licence",
    ]


@pytest.mark.parametrize("name", ["fatbin", "direct"])
def test_files_without_such_code_are_decoded_whole(name: str) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    assert (audit.closed_bytes, audit.contains) == (0, ())


def test_device_code_is_listed_by_container() -> None:
    listing = audit_file(ASSETS / "fatbin.elf", "x").device_code
    assert listing.own == ("sm_70", "sm_86")
    assert listing.sizes == {"compute_61": 24, "sm_61": 16, "sm_70": 128, "sm_86": 40}
    assert [container.count for container in listing.containers] == [2, 1]
    assert listing.faults == ()


def test_a_bad_fat_binary_is_told_and_the_rest_kept() -> None:
    listing = audit_file(ASSETS / "fatbin-broken.elf", "x").device_code
    claim = "claims 16 + 9223372036854775807 bytes, more than is there"
    assert listing.faults == (f".nv_fatbin: the fat binary at byte 280 {claim}",)
    assert listing.sizes == {"compute_61": 24, "sm_61": 16, "sm_70": 96, "sm_86": 32}


def test_a_stripped_copy_has_another_identity() -> None:
    with_symbols, stripped = (
        identity_of(ASSETS / f"{name}.elf", name) for name in ("direct", "stripped")
    )
    assert with_symbols != stripped


def test_a_file_without_build_id_is_known_by_its_sha256(tmp_path: Path) -> None:
    data = (ASSETS / "object.elf").read_bytes()
    path = tmp_path / "object"
    path.write_bytes(data)
    assert identity_of(path, "object") == "sha256-" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not a readable ELF file"),
        (b"\x7fELF", "not a readable ELF file"),
        (b"hello world, this is no ELF file at all" * 4, "not a readable ELF file"),
    ],
    ids=["empty", "magic-only", "text"],
)
def test_what_is_no_elf_file_is_one_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(content)
    assert audit_file(path, "x.so").fault.startswith(fault)
    with pytest.raises(ElfError) as caught:
        ElfFile(path, "x.so")
    assert str(caught.value).startswith("x.so: not a readable ELF file")
    assert caught.value.hint


def test_a_missing_file_is_one_fault(tmp_path: Path) -> None:
    assert audit_file(tmp_path / "none", "none").fault == "No such file or directory"


FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def damaged(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "damaged.so"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["leaked", "ifunc", "fatbin", "program", "stripped"])
@FUZZ
@given(cut=st.integers(0, 9000))
def test_truncated_files_never_raise(tmp_path: Path, name: str, cut: int) -> None:
    data = (ASSETS / f"{name}.elf").read_bytes()[:cut]
    audit_file(damaged(tmp_path, data), "damaged.so")


@pytest.mark.parametrize("name", ["leaked", "ifunc", "fatbin", "program", "stripped", "i386"])
@FUZZ
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 9000), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
        min_size=1,
        max_size=12,
    )
)
def test_corrupt_files_never_raise(
    tmp_path: Path, name: str, changes: list[tuple[int, int]]
) -> None:
    data = bytearray((ASSETS / f"{name}.elf").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    audit_file(damaged(tmp_path, bytes(data)), "damaged.so")


@pytest.mark.parametrize("name", ["leaked", "ifunc", "fatbin"])
@FUZZ
@given(
    header=st.integers(0, 40),
    field=st.sampled_from([0, 4, 8, 16, 24, 32, 40, 44, 48, 56]),
    value=st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1]),
)
def test_hostile_section_headers_never_raise(
    tmp_path: Path, name: str, header: int, field: int, value: int
) -> None:
    data = bytearray((ASSETS / f"{name}.elf").read_bytes())
    table = int.from_bytes(data[40:48], "little")
    place = table + header * 64 + field
    width = 8 if field in (8, 16, 24, 32, 48, 56) else 4
    data[place : place + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    audit_file(damaged(tmp_path, bytes(data)), "damaged.so")
