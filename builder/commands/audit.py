"""`cellar audit`: the files of a target held against an ISA level and the waivers."""

from collections.abc import Mapping, Sequence

from builder.domain.audit.environment import forced
from builder.domain.audit.report import FileAudit, ImageAudit, Waiver, waive
from builder.domain.isa import IsaLevel


def audit(
    target: tuple[str, str],
    files: Sequence[FileAudit],
    environment: Mapping[str, str],
    *,
    level: IsaLevel,
    waivers: Sequence[Waiver],
) -> ImageAudit:
    """Judge a target, given as name and digest, by its audited files and its environment."""
    name, digest = target
    judged, used, unused = waive(files, waivers, level)
    return ImageAudit(
        target=name,
        digest=digest,
        level=level,
        files=judged,
        forced=forced(environment, level),
        waived=used,
        unused_waivers=unused,
    )
