"""An audit held against an earlier one of the same image: whatever got worse is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.isa import IsaLevel

# auditwheel puts eight digits of a hash into the names of the libraries that it brings along.
_HASH = re.compile(r"-[0-9a-f]{8}(?=[.-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one file had open: its verdict, and how many functions by each verdict of that kind."""

    verdict: AuditVerdict
    functions: Mapping[AuditVerdict, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """All files of an image that had something open at one level, by name."""

    level: IsaLevel
    files: Mapping[str, Standing]


def baseline(audit: ImageAudit) -> Baseline:
    """Return what is open in an audit: unknown and worse."""
    found = {_HASH.sub("", file.name): _standing(file, audit.level) for file in audit.files}
    return Baseline(
        level=audit.level,
        files={
            name: standing
            for name, standing in sorted(found.items())
            if standing.verdict >= AuditVerdict.UNKNOWN
        },
    )


def _standing(file: FileAudit, level: IsaLevel) -> Standing:
    judged = file.at(level)
    functions: dict[AuditVerdict, int] = {}
    for row in judged.counts if judged and not file.skipped else ():
        if row.verdict >= AuditVerdict.UNKNOWN:
            functions[row.verdict] = functions.get(row.verdict, 0) + row.functions
    verdict = AuditVerdict.CLEAN if file.skipped else file.verdict(level)
    return Standing(verdict=verdict, functions=functions)


def worse(before: Baseline, now: Baseline) -> tuple[str, ...]:
    """Say what got worse since `before`, a sentence a file; both must be of one level."""
    found: list[str] = []
    for name, standing in now.files.items():
        earlier = before.files.get(name)
        if earlier is None:
            found.append(f"{name} is new, and {standing.verdict.value}")
        elif standing.verdict > earlier.verdict:
            found.append(f"{name} was {earlier.verdict.value} and is {standing.verdict.value}")
        else:
            found += [
                f"{name} has {count} {verdict.value} functions, and had {had}"
                for verdict, count in standing.functions.items()
                for had in [earlier.functions.get(verdict, 0)]
                if count > had
            ]
    return tuple(found)
