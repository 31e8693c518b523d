"""The audit of one file and of all files of an image, after the reviewed waivers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from builder.domain.audit.judge import LevelJudgement
from builder.domain.audit.verdicts import AuditVerdict, Finding
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import Listing, Service, judge_gpus
from builder.domain.isa import IsaLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAudit:
    """What was found in one ELF file; `levels` is empty where it was not decoded."""

    name: str
    identity: str
    build_id: str = ""
    soname: str = ""
    machine: str = "x86-64"
    code_bytes: int = 0
    closed_bytes: int = 0  # of NVIDIA's code inside, which its licence forbids to decode
    contains: tuple[str, ...] = ()  # the libraries that it is of
    stripped: bool = False
    isa_note: int | None = None
    levels: tuple[LevelJudgement, ...] = ()
    skipped: str = ""  # why it is none of our business: i386, a relocatable object
    owner: str = ""  # by what it is known to be NVIDIA's
    fault: str = ""  # why it could not be read
    device_code: Listing = field(default_factory=Listing)

    def at(self, level: IsaLevel) -> LevelJudgement | None:
        """Return the judgement at one level."""
        return next((judged for judged in self.levels if judged.level is level), None)

    def verdict(self, level: IsaLevel) -> AuditVerdict:
        """Return the verdict at one level, whatever the reason."""
        if self.fault:
            return AuditVerdict.UNKNOWN
        if self.owner:
            return AuditVerdict.LICENCE
        judged = self.at(level)
        verdict = judged.verdict if judged else AuditVerdict.CLEAN
        return max(verdict, AuditVerdict.LICENCE) if self.closed_bytes else verdict

    @property
    def lowest(self) -> IsaLevel | None:
        """Return the lowest level at which nothing fails, None where even x86-64-v4 fails."""
        return next((level for level in IsaLevel if not self.verdict(level).fails), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One reviewed decision about a file, by its build-id: what is waived, why, on what evidence.

    `function` is a symbol, or an address as in 0x1f0 where several functions have one symbol. An
    empty one waives every finding of that verdict in the file.
    """

    build_id: str
    verdict: AuditVerdict
    function: str
    reason: str
    evidence: str

    def covers(self, finding: Finding) -> bool:
        """Say whether this waiver is about `finding`."""
        names = ("", finding.function.symbol, hex(finding.function.address))
        return finding.verdict is self.verdict and self.function in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """A waiver that was used, and for how many functions of which file."""

    file: str
    waiver: Waiver
    functions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAudit:
    """All files of one image, directory or wheel, held against one level."""

    target: str
    digest: str
    level: IsaLevel
    files: tuple[FileAudit, ...]
    forced: tuple[str, ...] = ()
    waived: tuple[Waived, ...] = ()
    unused_waivers: tuple[Waiver, ...] = ()

    @property
    def verdict(self) -> AuditVerdict:
        """Return the worst verdict of all."""
        if self.forced:
            return AuditVerdict.ENV_FAIL
        verdicts = (file.verdict(self.level) for file in self.files if not file.skipped)
        return max(verdicts, default=AuditVerdict.CLEAN)

    @property
    def lowest(self) -> IsaLevel | None:
        """Return the lowest level at which no file fails."""
        for level in IsaLevel:
            if not any(file.verdict(level).fails for file in self.files if not file.skipped):
                return level
        return None


def unserved(audit: ImageAudit, devices: Sequence[ComputeCapability]) -> tuple[str, ...]:
    """Name the files whose own device code does not reach some device, neither natively nor by JIT.

    NVIDIA's libraries do not count: they choose among their kernels themselves.
    """
    return tuple(
        file.name
        for file in audit.files
        if file.device_code.containers and not file.owner
        for judged in [judge_gpus(file.device_code, devices).judgements]
        if any(one.service is Service.MISSING for one in judged)
    )


def waive(files: Sequence[FileAudit], waivers: Sequence[Waiver], level: IsaLevel) -> tuple[
    tuple[FileAudit, ...], tuple[Waived, ...], tuple[Waiver, ...]
]:  # fmt: skip
    """Take the waived findings out of each file; return files, used and unused waivers."""
    used: list[Waived] = []
    result: list[FileAudit] = []
    for file in files:
        lighter = file
        for waiver in waivers:
            if waiver.build_id == file.build_id != "":
                lighter, count = _waive_one(lighter, waiver, level)
                used += [Waived(file=file.name, waiver=waiver, functions=count)] if count else []
        result.append(lighter)
    spent = {id(entry.waiver) for entry in used}
    return tuple(result), tuple(used), tuple(w for w in waivers if id(w) not in spent)


def _waive_one(file: FileAudit, waiver: Waiver, level: IsaLevel) -> tuple[FileAudit, int]:
    total = 0
    levels = []
    for judged in file.levels:
        lighter, count = _lighten(judged, waiver)
        total += count if judged.level is level else 0
        levels.append(lighter)
    return replace(file, levels=tuple(levels)), total


def _lighten(judged: LevelJudgement, waiver: Waiver) -> tuple[LevelJudgement, int]:
    if waiver.function:
        hit = [finding for finding in judged.findings if waiver.covers(finding)]
        count = len(hit)
        kept = tuple(f for f in judged.findings if f not in hit)
        counts = tuple(
            replace(row, functions=row.functions - sum(f.signal is row.signal for f in hit))
            if row.verdict is waiver.verdict
            else row
            for row in judged.counts
        )
    else:
        count = sum(row.functions for row in judged.counts if row.verdict is waiver.verdict)
        kept = tuple(f for f in judged.findings if f.verdict is not waiver.verdict)
        counts = tuple(row for row in judged.counts if row.verdict is not waiver.verdict)
    counts = tuple(row for row in counts if row.functions)
    verdict = max((row.verdict for row in counts), default=AuditVerdict.GUARDED)
    if not count:
        return judged, 0
    return replace(judged, verdict=verdict, counts=counts, findings=kept), count
