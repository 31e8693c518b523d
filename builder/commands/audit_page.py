"""An audit as the values that the HTML page shows."""

from collections.abc import Sequence
from typing import TypedDict

from builder.commands.audit_text import Demangle, device_line, name_of, way_of
from builder.domain.audit.judge import LevelJudgement
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict, Finding
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import Service, judge_gpus
from builder.domain.isa import IsaLevel

_MOST_FUNCTIONS = 100
_FULL = 100.0


class Share(TypedDict):
    """One piece of a bar."""

    slug: str
    label: str
    files: int
    size: str
    percent: float


class FileRow(TypedDict):
    """One library."""

    name: str
    anchor: str
    slug: str
    verdict: str
    why: str
    size: str
    percent: float
    above_percent: float
    levels: list[tuple[str, str]]
    evidence: list[tuple[str, str, int, str]]


class FunctionRow(TypedDict):
    """One function above the level."""

    slug: str
    verdict: str
    name: str
    file: str
    needs: str
    site: str
    way: str
    leaked: bool
    callers: int


class DeviceRow(TypedDict):
    """One library with device code."""

    name: str
    own: str
    added: str
    size: str
    archs: list[tuple[str, str, float]]
    gpus: list[tuple[str, str, str]]
    superfluous: str
    faults: list[str]


def context(
    audit: ImageAudit, gpus: Sequence[ComputeCapability], demangle: Demangle
) -> dict[str, object]:
    """Return what templates/audit.html.j2 shows of an audit."""
    audited = [file for file in audit.files if not file.skipped]
    total = sum(file.code_bytes for file in audited)
    rows = sorted(audited, key=lambda f: (f.verdict(audit.level), f.code_bytes), reverse=True)
    largest = max((file.code_bytes for file in audited), default=1) or 1
    functions = [(file, finding) for file in rows for finding in _findings(file, audit.level)]
    functions.sort(key=lambda pair: (pair[1].verdict, pair[1].callers), reverse=True)
    return {
        "audit": audit,
        "slug": slug(audit.verdict),
        "code": mega(total),
        "count": len(audited),
        "levels": [level.value for level in IsaLevel],
        "shares": _shares(audited, audit.level, total or 1),
        "files": [_file_row(file, audit.level, largest) for file in rows],
        "functions": [
            _function_row(file, finding, demangle) for file, finding in functions[:_MOST_FUNCTIONS]
        ],
        "more_functions": max(0, len(functions) - _MOST_FUNCTIONS),
        "devices": [_device_row(f, gpus) for f in audited if f.device_code.containers],
        "skipped": [(file.name, file.skipped) for file in audit.files if file.skipped],
    }


def slug(verdict: AuditVerdict) -> str:
    """Return the verdict as a CSS class."""
    return "licence" if verdict is AuditVerdict.LICENCE else verdict.value


def mega(size: int) -> str:
    """Return bytes as megabytes, for people."""
    return f"{size / 1e6:,.1f}" if size >= 100_000 else f"{size / 1e6:.2f}"


def _shares(files: Sequence[FileAudit], level: IsaLevel, total: int) -> list[Share]:
    found: list[Share] = []
    for verdict in reversed(AuditVerdict):
        chosen = [file for file in files if file.verdict(level) is verdict]
        if chosen:
            size = sum(file.code_bytes for file in chosen)
            found.append(
                Share(
                    slug=slug(verdict),
                    label=verdict.value,
                    files=len(chosen),
                    size=mega(size),
                    percent=_FULL * size / total,
                )
            )
    return found


def _findings(file: FileAudit, level: IsaLevel) -> Sequence[Finding]:
    judged = file.at(level)
    return judged.findings if judged else ()


def _file_row(file: FileAudit, level: IsaLevel, largest: int) -> FileRow:
    verdict = file.verdict(level)
    judged = file.at(level)
    above = sum(row.size for row in judged.counts) if judged else 0
    return FileRow(
        name=file.name,
        anchor=file.identity,
        slug=slug(verdict),
        verdict=verdict.value,
        why=file.fault or file.owner or verdict.meaning,
        size=mega(file.code_bytes),
        percent=_FULL * file.code_bytes / largest,
        above_percent=_FULL * min(above, file.code_bytes) / (file.code_bytes or 1),
        levels=[(slug(file.verdict(one)), file.verdict(one).value) for one in IsaLevel],
        evidence=_evidence(judged),
    )


def _evidence(judged: LevelJudgement | None) -> list[tuple[str, str, int, str]]:
    rows = judged.counts if judged else ()
    return [(slug(r.verdict), r.signal.meaning, r.functions, mega(r.size)) for r in rows]


def _function_row(file: FileAudit, finding: Finding, demangle: Demangle) -> FunctionRow:
    way = finding.signal.meaning
    if finding.reached_from:
        way += f", from {way_of(finding, demangle)}"
    return FunctionRow(
        slug=slug(finding.verdict),
        verdict=finding.verdict.value,
        name=name_of(finding.function, demangle),
        file=file.name.rpartition("/")[2],
        needs=" ".join(finding.needs),
        site=f"{finding.address:#x}: {finding.instruction}" if finding.instruction else "",
        way=way,
        leaked=finding.leaked,
        callers=finding.callers,
    )


def _device_row(file: FileAudit, gpus: Sequence[ComputeCapability]) -> DeviceRow:
    listing = file.device_code
    sizes = listing.sizes
    largest = max(sizes.values(), default=1) or 1
    found = judge_gpus(listing, gpus)
    classes = {Service.NATIVE: "clean", Service.JIT: "pointer", Service.MISSING: "init-fail"}
    return DeviceRow(
        name=file.name,
        own=" ".join(listing.own),
        added=" ".join(name for name in sizes if name not in listing.own),
        size=mega(sum(sizes.values())),
        archs=[(name, mega(size), _FULL * size / largest) for name, size in sizes.items()],
        gpus=[(classes[j.service], str(j.device), device_line(j)) for j in found.judgements],
        superfluous=", ".join(f"{name} ({mega(size)} MB)" for name, size in found.superfluous)
        if gpus
        else "",
        faults=list(listing.faults),
    )
