"""One ELF file from its bytes to its audit."""

from collections.abc import Collection
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from builder.adapters.audit.closed_code import NOTHING_CLOSED, ClosedCode
from builder.adapters.audit.code_map import read_code_map
from builder.adapters.audit.disassembler import survey
from builder.adapters.audit.elf import ElfError, ElfFile
from builder.adapters.audit.elf_program import build_program
from builder.adapters.audit.fatbin import list_device_code
from builder.adapters.audit.function_reader import ElfFunctions
from builder.domain.audit.judge import LevelJudgement, judge_all
from builder.domain.audit.ownership import PackageRecord, owner_of
from builder.domain.audit.report import FileAudit


def audit_file(
    path: Path, name: str, records: Collection[PackageRecord] = (), pool: Executor | None = None
) -> FileAudit:
    """Audit one file; what is wrong with it stands in the result, and nothing is raised."""
    try:
        with ElfFile(path, name) as elf:
            return _audit(elf, name, records, pool)
    except ElfError as error:
        return FileAudit(name=name, identity="", fault=str(error).removeprefix(f"{name}: "))


def identity_of(path: Path, name: str) -> str:
    """Return the cache key of a file's bytes, nothing for a file that cannot be read."""
    try:
        with ElfFile(path, name) as elf:
            return elf.identity
    except ElfError:
        return ""


def _audit(
    elf: ElfFile, name: str, records: Collection[PackageRecord], pool: Executor | None
) -> FileAudit:
    head = elf.head
    if head.bits != 64 or head.machine != "x86-64":
        machine = f"{head.machine}, {head.bits} bit"
        return FileAudit(name=name, identity=elf.identity, machine=machine, skipped=machine)
    if head.kind not in ("ET_DYN", "ET_EXEC"):
        return FileAudit(
            name=name, identity=elf.identity, skipped=f"no loadable file ({head.kind})"
        )
    soname = next(iter(elf.dynamic("DT_SONAME")), "")
    owner = owner_of(name, soname, records)
    judged = _Judged() if owner else _judge(elf, pool)
    return FileAudit(
        name=name,
        identity=elf.identity,
        build_id=elf.build_id,
        soname=soname,
        code_bytes=judged.code_bytes,
        closed_bytes=judged.closed.size,
        contains=judged.closed.libraries,
        stripped=judged.stripped,
        isa_note=elf.isa_note,
        levels=judged.levels,
        owner=owner,
        device_code=list_device_code(elf),
    )


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What decoding a file gave; nothing for a file that may not be decoded."""

    levels: tuple[LevelJudgement, ...] = ()
    stripped: bool = False
    code_bytes: int = 0
    closed: ClosedCode = NOTHING_CLOSED


def _judge(elf: ElfFile, pool: Executor | None) -> _Judged:
    code = read_code_map(elf)
    found = survey(elf, code, pool)
    program = build_program(elf, code, found)
    reader = ElfFunctions(elf, code, found)
    return _Judged(
        levels=judge_all(program, reader),
        stripped=program.stripped,
        code_bytes=sum(section.size for section in elf.code) - code.closed.size,
        closed=code.closed,
    )
