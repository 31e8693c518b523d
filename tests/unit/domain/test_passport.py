"""A passport claims what was measured, and names what was not."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from builder.adapters.data.schemas import validator
from builder.commands import passport_text
from builder.domain.audit.judge import CountRow, LevelJudgement
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict, Signal
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import Code, CodeKind, Container, Listing
from builder.domain.isa import IsaLevel
from builder.domain.passport import (
    Audited,
    Library,
    Passport,
    Run,
    Verified,
    audited,
    document,
    libraries,
)
from tests.unit.commands import fakes
from tests.unit.domain.test_admission import image

DIGEST = "sha256:" + "a" * 64
CLEAN = Audited(lowest=IsaLevel.V2, verdict=AuditVerdict.CLEAN, open={}, licence=0)
RUN = Run(
    level=IsaLevel.V2,
    how="qemu",
    cpu="Nehalem",
    passed=("import torch", "check-ops"),
    failed=(),
    date="2026-11-22",
)
VERIFIED = Verified(level="L2", device="cpu", date="2026-11-22")
WHOLE = Passport(
    digest=DIGEST,
    sealed=image("cpu"),
    size=395_500_000,
    audited=CLEAN,
    runs=(RUN,),
    verified=(VERIFIED,),
)
LIBRARY = Library(file="a.so", own=("sm_90",), cubins=("sm_90",), ptx=(), owner="")
FAILED = replace(RUN, failed=("check-ops",))


@pytest.mark.parametrize(
    ("passport", "proven", "proofs"),
    [
        pytest.param(WHOLE, IsaLevel.V2, ("audit", "qemu: Nehalem"), id="audited-and-run"),
        pytest.param(replace(WHOLE, runs=()), None, (), id="not-run"),
        pytest.param(replace(WHOLE, audited=None), None, (), id="not-audited"),
        pytest.param(replace(WHOLE, runs=(FAILED,)), None, (), id="a-workload-failed"),
        pytest.param(
            replace(WHOLE, audited=replace(CLEAN, lowest=IsaLevel.V3)),
            None,
            (),
            id="fails-below-what-was-run",
        ),
        pytest.param(replace(WHOLE, audited=replace(CLEAN, lowest=None)), None, (), id="fails"),
        pytest.param(
            replace(WHOLE, runs=(replace(RUN, level=IsaLevel.V3, cpu="Haswell"),)),
            IsaLevel.V3,
            ("audit", "qemu: Haswell"),
            id="run-on-a-later-cpu-only",
        ),
        pytest.param(
            replace(WHOLE, runs=(replace(RUN, level=IsaLevel.V3, cpu="Haswell"), RUN)),
            IsaLevel.V2,
            ("audit", "qemu: Nehalem"),
            id="the-lowest-counts",
        ),
    ],
)
def test_the_lowest_level_proven(
    passport: Passport, proven: IsaLevel | None, proofs: tuple[str, ...]
) -> None:
    assert (passport.proven, passport.proofs) == (proven, proofs)


OPEN = replace(CLEAN, open={"pointer": 3, "suspect": 2}, licence=4)


@pytest.mark.parametrize(
    ("passport", "sentences"),
    [
        pytest.param(WHOLE, [], id="nothing-open"),
        pytest.param(
            Passport(digest=DIGEST, sealed=image("cpu")),
            [
                "its files were not audited",
                "no run on a CPU of x86-64-v2 passed",
                "no verification is recorded",
            ],
            id="nothing-known",
        ),
        pytest.param(
            replace(WHOLE, audited=OPEN, runs=(replace(RUN, entered=1, unentered=1),)),
            [
                "3 functions are pointer at x86-64-v2",
                "2 functions are suspect at x86-64-v2",
                "4 files may not be audited: licence",
                "1 suspect functions were entered by no workload",
            ],
            id="open-functions",
        ),
        pytest.param(
            replace(
                WHOLE,
                libraries=(
                    replace(LIBRARY, missing=("7.5", "8.0")),
                    replace(LIBRARY, owner="package nvidia-x", missing=("7.5",)),
                ),
            ),
            ["a.so has no code for 7.5, 8.0"],
            id="device-code-misses-declared-gpus",
        ),
        pytest.param(
            replace(WHOLE, runs=(replace(RUN, known=("f needs AVX2",)),) * 2),
            ["f needs AVX2"],
            id="known-to-crash",
        ),
        pytest.param(
            replace(WHOLE, runs=(replace(RUN, level=IsaLevel.V3),)),
            ["no run on a CPU of x86-64-v2 passed"],
            id="run-on-a-later-cpu",
        ),
        pytest.param(
            replace(WHOLE, sealed=image("cu124")), ["no GPU has run it"], id="verified-on-a-cpu"
        ),
        pytest.param(
            replace(
                WHOLE, sealed=image("cu124"), verified=(replace(VERIFIED, device="NVIDIA H200"),)
            ),
            [],
            id="verified-on-a-gpu",
        ),
    ],
)
def test_what_is_unproven_is_said(passport: Passport, sentences: list[str]) -> None:
    assert list(passport.unproven) == sentences


def judged(level: IsaLevel, *rows: tuple[Signal, int]) -> LevelJudgement:
    counts = tuple(
        CountRow(verdict=signal.verdict, signal=signal, functions=count, size=0)
        for signal, count in rows
    )
    worst = max((row.verdict for row in counts), default=AuditVerdict.CLEAN)
    return LevelJudgement(level=level, verdict=worst, counts=counts, findings=())


def code(kind: CodeKind, arch: str) -> Code:
    return Code(kind=kind, arch=ComputeCapability.parse(arch), size=1)


FILES = (
    FileAudit(
        name="torch.so",
        identity="t",
        levels=(
            judged(IsaLevel.V1, (Signal.STARTS, 1)),
            judged(IsaLevel.V2, (Signal.TABLE, 5), (Signal.DIRECT, 2), (Signal.GUARD_CPUID, 9)),
            judged(IsaLevel.V3),
            judged(IsaLevel.V4),
        ),
        device_code=Listing(
            containers=(
                Container(codes=(code(CodeKind.CUBIN, "7.0"), code(CodeKind.PTX, "7.0")), count=9),
                Container(codes=(code(CodeKind.CUBIN, "6.1"),), count=1),
            )
        ),
    ),
    FileAudit(name="libcudnn.so", identity="c", owner="NVIDIA library libcudnn.so"),
    FileAudit(name="arm.so", identity="a", skipped="aarch64, 64 bit"),
)


def audit(files: Sequence[FileAudit] = FILES) -> ImageAudit:
    return ImageAudit(target="t", digest=DIGEST, level=IsaLevel.V2, files=tuple(files))


def test_an_audit_is_summed_up_at_the_images_level() -> None:
    assert audited(audit(), IsaLevel.V2) == Audited(
        lowest=IsaLevel.V2,
        verdict=AuditVerdict.SUSPECT,
        open={"pointer": 5, "suspect": 2},
        licence=1,
    )


def test_device_code_is_listed_by_file_with_its_own_apart() -> None:
    gpus = [ComputeCapability(6, 0), ComputeCapability(7, 5), ComputeCapability(8, 0)]
    assert libraries(audit(), gpus) == (
        Library(
            file="torch.so",
            own=("sm_70", "compute_70"),
            cubins=("sm_61", "sm_70"),
            ptx=("compute_70",),
            owner="",
            missing=("6.0",),
        ),
    )


@pytest.mark.parametrize(
    "passport",
    [
        pytest.param(WHOLE, id="cpu"),
        pytest.param(Passport(digest=DIGEST, sealed=image("cpu")), id="nothing-known"),
        pytest.param(
            replace(
                WHOLE,
                sealed=image("cu124", ptx="9.0"),
                audited=audited(audit(), IsaLevel.V2),
                runs=(FAILED, replace(RUN, date="")),
                libraries=libraries(audit()),
                verified=(replace(VERIFIED, date=""),),
            ),
            id="gpu",
        ),
    ],
)
def test_the_document_keeps_to_its_schema(passport: Passport) -> None:
    assert list(validator("passport").iter_errors(document(passport))) == []


def test_both_schemas_have_one_sealed_part() -> None:
    folder = fakes.ROOT / "builder" / "schemas"
    whole, part = (
        json.loads((folder / f"{name}.schema.json").read_text()) for name in ("passport", "sealed")
    )
    inner = whole["properties"]["sealed"]
    assert {name: part[name] for name in inner} == inner


def test_a_passport_for_people() -> None:
    passport = replace(
        WHOLE,
        sealed=replace(
            image("cu124", ptx="9.0"), packages={"mmcv-full": "1.7.2"}, without=("bevformer",)
        ),
        libraries=libraries(audit()),
        runs=(replace(RUN, entered=1, unentered=1),),
    )
    assert list(passport_text.lines(passport)) == [
        "image     bevformer, variant cu124, cell cu124",
        f"digest    {DIGEST}",
        "size      395.5 MB compressed",
        "holds     Debian trixie (glibc 2.41), Python 3.13, torch 2.6.0, mmcv-full 1.7.2",
        "without   the sources of bevformer",
        "CPU       x86-64-v2 or later; proven at x86-64-v2 by audit, qemu: Nehalem",
        (
            "GPU       CUDA 12.4; torch for 5.0, 6.0, 7.0, 7.5, 8.0, 8.6, 9.0, and by JIT 9.0"
            " or later; ops for 7.0, 7.5, 8.0, 8.6, 9.0, and by JIT 9.0 or later"
        ),
        "driver    525.60.13 or later (Windows with WSL: 527.41)",
        "          for PTX 550.54.14 or later (Windows with WSL: 551.61)",
        "          torch.so: sm_70 compute_70; linked in: sm_61",
        (
            "run       2 of 2 workloads passed on Nehalem (qemu, x86-64-v2);"
            " 1 of 2 suspects entered, 2026-11-22"
        ),
        "verified  L2 on cpu, 2026-11-22",
        "unproven  1 suspect functions were entered by no workload",
        "unproven  no GPU has run it",
    ]


def test_the_passport_of_a_stand_in_says_so() -> None:
    passport = replace(WHOLE, sealed=image("cu112-standin"))
    stand_in = passport.sealed.stand_in
    assert stand_in is not None
    told = list(passport_text.lines(passport))
    assert f"stand-in  for cu111: {stand_in.reason}" in told
    assert list(validator("passport").iter_errors(document(passport))) == []
