"""What a proof says, and what it leaves open."""

import json
from dataclasses import replace

import pytest

from builder.adapters.data.schemas import validator
from builder.adapters.proof.proof_documents import proof_document
from builder.commands import prove_text
from builder.domain.audit.judge import CountRow, LevelJudgement
from builder.domain.audit.program import Label
from builder.domain.audit.report import FileAudit
from builder.domain.audit.verdicts import AuditVerdict, Finding, Signal
from builder.domain.isa import IsaLevel
from builder.domain.proof import (
    Ending,
    FaultSite,
    KnownFault,
    Outcome,
    Proof,
    Suspect,
    Unproven,
    Workload,
    hold_against_known,
    imports,
    suspects,
    unproven,
)

LEVEL = IsaLevel.V2
PASSED = Outcome(workload=Workload(name="a", argv=("a",)), ending=Ending.PASSED, seconds=1)


def proof(*outcomes: Outcome) -> Proof:
    return Proof(
        target="t", digest="", model="Nehalem", level=LEVEL, emulator="qemu", features=(),
        outcomes=outcomes, unproven=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "holds"),
    [
        ((PASSED,), True),
        ((PASSED, replace(PASSED, ending=Ending.SIGILL)), False),
        ((replace(PASSED, ending=Ending.FAILED),), False),
        ((replace(PASSED, ending=Ending.TIMEOUT),), False),
        ((PASSED, replace(PASSED, ending=Ending.KNOWN)), True),
        ((replace(PASSED, ending=Ending.KNOWN),), False),
        ((), False),
    ],
    ids=["passed", "sigill", "failed", "timeout", "known", "only-known", "nothing-run"],
)
def test_a_proof_holds_when_something_ran_and_all_passed(
    outcomes: tuple[Outcome, ...], *, holds: bool
) -> None:
    assert proof(*outcomes).holds is holds


KNOWN = KnownFault(below=IsaLevel.V3, function="f", reason="f needs AVX2")
CRASHING = replace(PASSED, workload=replace(PASSED.workload, known=KNOWN), ending=Ending.SIGILL)


def crashed(*functions: str) -> Outcome:
    sites = tuple(FaultSite(library="a.so", address=1, function=name) for name in functions)
    return replace(CRASHING, sites=sites)


@pytest.mark.parametrize(
    ("outcome", "level", "ending"),
    [
        (crashed("f"), IsaLevel.V2, Ending.KNOWN),
        (crashed("f", "f"), IsaLevel.V1, Ending.KNOWN),
        (crashed("g"), IsaLevel.V2, Ending.SIGILL),
        (crashed("f", "g"), IsaLevel.V2, Ending.SIGILL),
        (crashed(""), IsaLevel.V2, Ending.SIGILL),
        (crashed("f"), IsaLevel.V3, Ending.SIGILL),
        (replace(CRASHING, ending=Ending.PASSED), IsaLevel.V2, Ending.FAILED),
        (replace(CRASHING, ending=Ending.PASSED), IsaLevel.V3, Ending.PASSED),
        (replace(CRASHING, ending=Ending.TIMEOUT), IsaLevel.V2, Ending.TIMEOUT),
        (replace(crashed("f"), workload=PASSED.workload), IsaLevel.V2, Ending.SIGILL),
    ],
    ids=[
        "known", "twice", "elsewhere", "also-elsewhere", "nobody-knows-where", "at-the-level",
        "no-longer", "passes-above", "timeout", "nothing-known",
    ],
)  # fmt: skip
def test_a_known_crash_is_told_from_a_new_one(
    outcome: Outcome, level: IsaLevel, ending: Ending
) -> None:
    assert hold_against_known(outcome, level).ending is ending


def judged(*rows: tuple[AuditVerdict, Signal, int], silent: int = 0) -> LevelJudgement:
    counts = tuple(
        CountRow(verdict=verdict, signal=signal, functions=count, size=0)
        for verdict, signal, count in rows
    )
    verdict = max((row.verdict for row in counts), default=AuditVerdict.CLEAN)
    return LevelJudgement(level=LEVEL, verdict=verdict, counts=counts, findings=(), silent=silent)


def test_what_an_audit_left_open_stays_unproven() -> None:
    files = [
        FileAudit(name="clean.so", identity="", levels=(judged(),)),
        FileAudit(
            name="guarded.so",
            identity="",
            levels=(judged((AuditVerdict.GUARDED, Signal.GUARD_CPUID, 9)),),
        ),
        FileAudit(
            name="open.so",
            identity="",
            levels=(
                judged(
                    (AuditVerdict.SUSPECT, Signal.DIRECT, 2),
                    (AuditVerdict.POINTER, Signal.TABLE, 3),
                    (AuditVerdict.POINTER, Signal.TAKEN, 4),
                ),
            ),
        ),
        FileAudit(name="silent.so", identity="", levels=(judged(silent=1),)),
        FileAudit(name="nvidia.so", identity="", owner="package nvidia-x"),
    ]
    assert unproven(files, LEVEL) == (
        Unproven(file="open.so", functions={"suspect": 2, "pointer": 7}, silent=0),
        Unproven(file="silent.so", functions={}, silent=1),
    )


def finding(verdict: AuditVerdict, symbol: str, address: int) -> Finding:
    return Finding(
        verdict=verdict,
        signal=Signal.DIRECT,
        function=Label(symbol=symbol, unit="", address=address),
        needs=("avx",),
        instruction="vxorps",
        address=address + 4,
    )


def test_the_suspects_of_an_audit_are_listed_once() -> None:
    rows = (
        finding(AuditVerdict.SUSPECT, "f", 16),
        finding(AuditVerdict.SUSPECT, "f", 16),
        finding(AuditVerdict.SUSPECT, "", 32),
        finding(AuditVerdict.UNKNOWN, "g", 48),
    )
    levels = (replace(judged(), findings=rows),)
    files = [FileAudit(name="a.so", identity="", levels=levels), FileAudit(name="b", identity="")]
    assert suspects(files, LEVEL) == (
        Suspect(file="a.so", function="f", address=16),
        Suspect(file="a.so", function="", address=32),
    )


def test_a_proof_keeps_to_its_schema_and_tells_who_was_entered() -> None:
    site = FaultSite(library="a.so", address=1, function="f", instruction="vxorps", python=("x",))
    crash = replace(PASSED, ending=Ending.SIGILL, sites=(site,))
    known = replace(crashed("g"), ending=Ending.KNOWN)
    entered = Suspect(file="a.so", function="e", address=16, entered_by="a")
    found = replace(
        proof(PASSED, crash, known),
        digest="d",
        suspects=(
            entered,
            replace(entered, function="f"),
            replace(entered, function="g"),
            Suspect(file="a.so", function="", address=32),
        ),
        unproven=(Unproven(file="a.so", functions={"suspect": 2}, silent=1),),
    )
    document = json.loads(json.dumps(proof_document(found), default=lambda one: one.value))
    assert list(validator("proof").iter_errors(document)) == []
    text = "\n".join(prove_text.lines(found, str))
    assert "workloads 1 of 3 passed, 1 ended in SIGILL as is known" in text
    assert "known: f needs AVX2" in text
    assert "suspects: 1 of 4 were entered" in text
    assert "lacks; in 2 of them it refused an instruction, above; of the others" in text
    assert "  entered by a: e in a.so" in text
    assert "  entered by a: f" not in text


def test_the_imports_of_all_compiled_packages_are_workloads() -> None:
    paths = [
        "usr/lib/python3/dist-packages/_cffi_backend.cpython-311-x86_64-linux-gnu.so",
        "opt/lib/python3.11/site-packages/torch/lib/libtorch.so",
        "opt/lib/python3.11/site-packages/torch/_C.so",
        "opt/lib/python3.11/site-packages/pillow.libs/libz.so",
        "opt/lib/python3.11/site-packages/no-name/x.so",
        "usr/lib/libc.so.6",
    ]
    files = [FileAudit(name=path, identity="") for path in paths]
    files.append(FileAudit(name="site-packages/arm/x.so", identity="", skipped="arm"))
    files.append(FileAudit(name="site-packages/nvidia/x.so", identity="", owner="package"))
    assert imports(files) == (
        Workload(name="import _cffi_backend", argv=("python3", "-c", "import _cffi_backend")),
        Workload(name="import torch", argv=("python3", "-c", "import torch")),
    )
