"""The audit on public wheels: three real crashes found, and four dispatching stacks not failed.

Each crash was seen under an emulated CPU without the instruction. CELLAR_BENCH_WHEELS names a
folder that may hold the wheels (4 GB); this host's pip fetches what is missing.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.adapters import environment, process
from builder.adapters.audit.audit_inputs import read_wheel
from builder.adapters.audit.auditor import Auditor, processors
from builder.domain.audit.report import FileAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.isa import IsaLevel

pytestmark = pytest.mark.network

PLATFORMS = ("1_x86_64", "2010_x86_64", "2014_x86_64", "_2_27_x86_64", "_2_28_x86_64")


def wheel(folder: Path, requirement: str, python: str) -> Path:
    """Return one wheel, fetched where it is missing."""
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        platforms = [word for p in PLATFORMS for word in ("--platform", f"manylinux{p}")]
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        argv += ["--only-binary=:all:", "--python-version", python, "--dest", str(folder)]
        process.run([*argv, *platforms, requirement])
    return next(folder.glob(pattern))


def audits(tmp_path: Path, requirement: str, python: str) -> dict[str, FileAudit]:
    """Return the audit of each ELF file of a wheel, by its name without folders and hash."""
    folder = Path(environment.variable("CELLAR_BENCH_WHEELS") or tmp_path)
    inventory = read_wheel(wheel(folder, requirement, python), tmp_path)
    files = Auditor(None, processors(), lambda _: None).audit(inventory)
    return {file.name.rpartition("/")[2].split(".")[0]: file for file in files}


@dataclass(frozen=True, kw_only=True)
class Crash:
    """One instruction that was seen to end a program, and the verdict that must tell it."""

    wheel: str
    python: str = "3.8"
    library: str
    level: IsaLevel
    verdict: AuditVerdict
    function: str  # in the symbol
    address: int
    mnemonic: str


CRASHES = [
    Crash(
        wheel="torch==1.6.0",
        library="libtorch_cpu",
        level=IsaLevel.V2,
        verdict=AuditVerdict.SUSPECT,
        function="TensorIteratorConfig20declare_static_shape",
        address=0x15C7409,
        mnemonic="vmovddup",
    ),
    Crash(
        wheel="torch==2.1.2",
        library="libtorch_cpu",
        level=IsaLevel.V1,
        verdict=AuditVerdict.INIT_FAIL,
        function="dnnl_post_ops7entry_tESaIS1_EE17_M_realloc_insert",
        address=0x1064D642,
        mnemonic="pinsrq",
    ),
    Crash(
        wheel="numpy==2.4.6",
        python="3.11",
        library="_multiarray_umath",
        level=IsaLevel.V1,
        verdict=AuditVerdict.INIT_FAIL,
        function="__static_initialization_and_destruction_0",
        address=0x2DBCC,
        mnemonic="pinsrq",
    ),
    Crash(
        wheel="opencv-python==4.8.1.78",
        library="cv2",
        level=IsaLevel.V1,
        verdict=AuditVerdict.INIT_FAIL,
        function="",
        address=0x36455F,
        mnemonic="movddup",
    ),
]


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.wheel)
def test_real_crashes_are_found(tmp_path: Path, crash: Crash) -> None:
    judged = audits(tmp_path, crash.wheel, crash.python)[crash.library].at(crash.level)
    assert judged is not None
    assert judged.verdict is crash.verdict
    (found,) = (f for f in judged.findings if f.address == crash.address)
    assert found.verdict is crash.verdict
    assert crash.function in found.function.symbol
    assert found.instruction.startswith(f"{crash.mnemonic} ")


@pytest.mark.parametrize(
    ("requirement", "python"),
    [
        ("torch==1.9.1", "3.8"),
        ("numpy==1.24.4", "3.8"),
        ("scipy==1.10.1", "3.8"),
        ("llvmlite==0.41.1", "3.8"),
    ],
)
def test_stacks_that_dispatch_do_not_fail(tmp_path: Path, requirement: str, python: str) -> None:
    failing = {
        name: file.verdict(IsaLevel.V1).value
        for name, file in audits(tmp_path, requirement, python).items()
        if not file.skipped and file.verdict(IsaLevel.V1).fails
    }
    assert failing == {}


def test_the_suspects_of_torch_are_a_list_that_a_person_can_read(tmp_path: Path) -> None:
    judged = audits(tmp_path, "torch==1.6.0", "3.8")["libtorch_cpu"].at(IsaLevel.V2)
    assert judged is not None
    suspects = sum(r.functions for r in judged.counts if r.verdict is AuditVerdict.SUSPECT)
    assert suspects <= 60
