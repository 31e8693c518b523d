"""An audit as lines for a terminal."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from builder.domain.audit.program import Label
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict, Finding
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import GpuJudgement, Service, judge_gpus
from builder.domain.isa import IsaLevel

Demangle = Callable[[str], str]
_NAME_WIDTH = 110
_MOST_STEPS = 4


def lines(
    audit: ImageAudit,
    gpus: Sequence[ComputeCapability],
    demangle: Demangle,
    most: int,
) -> Iterator[str]:
    """Yield the whole report; at most `most` functions of each file."""
    yield from _summary(audit)
    yield from _table(audit)
    for file in audit.files:
        yield from _findings(file, audit.level, demangle, most)
    yield from _devices(audit.files, gpus)
    yield from _set_aside(audit)


def _summary(audit: ImageAudit) -> Iterator[str]:
    audited = [file for file in audit.files if not file.skipped]
    code = sum(file.code_bytes for file in audited)
    yield f"target    {audit.target}"
    if audit.digest:
        yield f"digest    {audit.digest}"
    yield f"files     {len(audited)} ELF files for x86-64, {_mega(code)} MB of code decoded"
    yield f"verdict   {audit.verdict.value} at {audit.level}: {audit.verdict.meaning}"
    lowest = audit.lowest or "none"
    yield f"lowest    {lowest} is the lowest level at which nothing is known to fail"
    yield from _closed(audit)
    for text in audit.forced:
        yield f"env-fail  {text}"


def _table(audit: ImageAudit) -> Iterator[str]:
    groups = Counter(file.verdict(audit.level) for file in audit.files if not file.skipped)
    shown = [file for file in audit.files if _worth(file, audit.level)]
    yield ""
    yield "by verdict: " + ", ".join(
        f"{count} {verdict.value}" for verdict, count in sorted(groups.items(), reverse=True)
    )
    if not shown:
        return
    yield ""
    yield f"{'verdict':<20} {'lowest':<10} {'code MB':>8} {'functions above':>16}  file"
    for file in sorted(shown, key=lambda f: (f.verdict(audit.level), f.code_bytes), reverse=True):
        lowest = file.lowest.value if file.lowest else "none"
        yield (
            f"{file.verdict(audit.level).value:<20} {lowest:<10} {_mega(file.code_bytes):>8}"
            f" {_above(file, audit.level):>16}  {file.name}"
        )


def _closed(audit: ImageAudit) -> Iterator[str]:
    for file in audit.files:
        if file.closed_bytes:
            named = ", ".join(file.contains)
            yield (
                f"licence   {_mega(file.closed_bytes)} MB of {file.name} are NVIDIA's ({named}):"
                " not decoded"
            )


def _worth(file: FileAudit, level: IsaLevel) -> bool:
    verdict = file.verdict(level)
    return not file.skipped and verdict not in (AuditVerdict.CLEAN, AuditVerdict.LICENCE)


def _above(file: FileAudit, level: IsaLevel) -> int:
    judged = file.at(level)
    return sum(row.functions for row in judged.counts) if judged else 0


def _findings(file: FileAudit, level: IsaLevel, demangle: Demangle, most: int) -> Iterator[str]:
    judged = file.at(level)
    if judged is None or not judged.findings:
        return
    yield ""
    yield f"{file.name}: {_evidence(file, level)}"
    if judged.silent:
        yield (
            f"  silent: {judged.silent} functions use LZCNT, which an older CPU runs as BSR:"
            " wrong numbers instead of SIGILL"
        )
    for finding in judged.findings[:most]:
        yield from _finding(finding, demangle)
    total = sum(r.functions for r in judged.counts if r.verdict >= AuditVerdict.UNKNOWN)
    if total > min(most, len(judged.findings)):
        yield f"  and {total - min(most, len(judged.findings))} more (--json lists up to 200)"


def _evidence(file: FileAudit, level: IsaLevel) -> str:
    judged = file.at(level)
    rows = judged.counts if judged else ()
    return ", ".join(f"{row.functions} {row.verdict.value} ({row.signal.value})" for row in rows)


def _finding(finding: Finding, demangle: Demangle) -> Iterator[str]:
    yield f"  {finding.verdict.value:<9} {name_of(finding.function, demangle)}"
    parts = [f"needs {' '.join(finding.needs)}"]
    if finding.instruction:
        parts.append(f"{finding.address:#x}: {finding.instruction}")
    way = finding.signal.meaning
    if finding.reached_from:
        way += f", from {way_of(finding, demangle)}"
    parts.append(way + (f" and {finding.callers - 1} more" if finding.callers > 1 else ""))
    if finding.leaked:
        parts.append("an inline function that leaked from a unit compiled for the ISA")
    for part in parts:
        yield f"            {part}"


def name_of(label: Label, demangle: Demangle) -> str:
    """Name a function for people, shortened, with its source unit where the file tells it."""
    name = demangle(label.symbol) if label.symbol else f"{label.address:#x}"
    if len(name) > _NAME_WIDTH:
        name = name[: _NAME_WIDTH - 1] + "…"
    return f"{name} [{label.unit}]" if label.unit else name


def way_of(finding: Finding, demangle: Demangle) -> str:
    """Write the way to a function, from where it starts, with its middle left out if long."""
    names = [name_of(label, demangle) for label in finding.reached_from]
    shown = names if len(names) <= _MOST_STEPS else [names[0], "…", *names[2 - _MOST_STEPS :]]
    return " → ".join(shown)


def _devices(files: Sequence[FileAudit], gpus: Sequence[ComputeCapability]) -> Iterator[str]:
    holding = [file for file in files if file.device_code.containers or file.device_code.faults]
    if not holding:
        return
    yield ""
    yield "device code"
    for file in holding:
        listing = file.device_code
        total = sum(listing.sizes.values())
        count = sum(container.count for container in listing.containers)
        yield f"  {file.name}: {count} fat binaries, {_mega(total)} MB; own {' '.join(listing.own)}"
        for fault in listing.faults:
            yield f"    unknown: {fault}"
        added = [name for name in listing.sizes if name not in listing.own]
        if added:
            yield f"    added by static libraries: {' '.join(added)}"
        found = judge_gpus(listing, gpus)
        for judged in found.judgements:
            yield f"    {device_line(judged)}"
        if gpus and found.superfluous:
            names = ", ".join(f"{name} {_mega(size)} MB" for name, size in found.superfluous)
            yield f"    superfluous for the declared GPUs: {names}"


def device_line(judged: GpuJudgement) -> str:
    """Say in one line how a file serves one GPU."""
    text = f"GPU {judged.device}: {judged.service.value}"
    if judged.service is Service.JIT:
        text += f" (driver {judged.driver} or later)"
    others = [
        f"{count} {word}"
        for count, word in (
            (judged.native, "native"),
            (judged.jit, "by JIT"),
            (judged.missing, "without"),
        )
        if count
    ]
    return f"{text}; fat binaries: {', '.join(others)}"


def _set_aside(audit: ImageAudit) -> Iterator[str]:
    for title, chosen in (
        (
            "not audited: licence (NVIDIA's; never decoded)",
            [(f.name, f.owner) for f in audit.files],
        ),
        ("unreadable", [(f.name, f.fault) for f in audit.files]),
        ("skipped", [(f.name, f.skipped) for f in audit.files]),
    ):
        rows = [(name, why) for name, why in chosen if why]
        if rows:
            yield ""
            yield title
            for name, why in rows:
                yield f"  {name}: {why}"
    if audit.waived:
        yield ""
        yield "waived after review"
        for entry in audit.waived:
            what = entry.waiver.function or f"all {entry.waiver.verdict.value}"
            yield f"  {entry.file}: {what}, {entry.functions} functions: {entry.waiver.reason}"


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f}"
