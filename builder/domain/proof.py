"""What running an image on an emulated CPU showed, and what it did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from builder.domain.audit.report import FileAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.isa import IsaLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFault:
    """A crash that is known: on CPUs below a level a workload ends in SIGILL in one function."""

    below: IsaLevel
    function: str  # mangled
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A named command of an image; `covers` says what a pass tells, where the name does not."""

    name: str
    argv: tuple[str, ...]
    covers: str = ""
    known: KnownFault | None = None


class Ending(Enum):
    """How a workload ended."""

    PASSED = "passed"
    SIGILL = "SIGILL"
    KNOWN = "known"  # a SIGILL, where the image's workloads say that one is
    FAILED = "failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSite:
    """The instruction that a CPU refused: where it stands, and how Python got there."""

    library: str  # empty where the loader had not told it
    address: int  # in the library, else in memory
    function: str = ""
    instruction: str = ""
    python: tuple[str, ...] = ()  # innermost first, as faulthandler prints it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One workload's ending."""

    workload: Workload
    ending: Ending
    seconds: float
    sites: tuple[FaultSite, ...] = ()
    tail: str = ""  # what a failed one printed last


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """Functions of one file that no run makes clean: what was not executed stays unproven."""

    file: str
    functions: Mapping[str, int]  # by verdict
    silent: int  # with LZCNT, which qemu too runs wrongly without a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A function that the audit suspects, and the first workload that entered it, if any did.

    Whoever was entered without SIGILL did not reach what the CPU lacks, in that workload; of the
    others a run tells nothing.
    """

    file: str
    function: str  # empty in a stripped file
    address: int
    entered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """All workloads of an image on one CPU; `emulator` is empty where it is the host's own."""

    target: str
    digest: str
    model: str
    level: IsaLevel | None
    emulator: str
    features: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    unproven: tuple[Unproven, ...]
    suspects: tuple[Suspect, ...] = ()

    @property
    def holds(self) -> bool:
        """Say whether every workload passed, but for known crashes, and there was one."""
        endings = {outcome.ending for outcome in self.outcomes}
        return Ending.PASSED in endings and endings <= {Ending.PASSED, Ending.KNOWN}

    @property
    def harmless(self) -> tuple[Suspect, ...]:
        """Return the suspects that a workload entered, and in which the CPU refused nothing."""
        refused = {site.function for outcome in self.outcomes for site in outcome.sites}
        return tuple(s for s in self.suspects if s.entered_by and s.function not in refused - {""})


def hold_against_known(outcome: Outcome, level: IsaLevel) -> Outcome:
    """Tell a known crash from a new one; who is said to crash and passes has failed."""
    known = outcome.workload.known
    if known is None or level >= known.below:
        return outcome
    if outcome.ending is Ending.PASSED:
        told = f"it passed, and is said to end in SIGILL in {known.function} below {known.below}"
        return replace(outcome, ending=Ending.FAILED, tail=told)
    where = {site.function for site in outcome.sites}
    if outcome.ending is Ending.SIGILL and where == {known.function}:
        return replace(outcome, ending=Ending.KNOWN)
    return outcome


def unproven(files: Sequence[FileAudit], level: IsaLevel) -> tuple[Unproven, ...]:
    """Count what an audit at `level` left open in each file."""
    found = []
    for file in files:
        judged = file.at(level)
        if judged is None:
            continue
        counts: dict[str, int] = {}
        for row in judged.counts:
            if row.verdict >= AuditVerdict.POINTER:
                counts[row.verdict.value] = counts.get(row.verdict.value, 0) + row.functions
        if counts or judged.silent:
            found.append(Unproven(file=file.name, functions=counts, silent=judged.silent))
    return tuple(found)


def suspects(files: Sequence[FileAudit], level: IsaLevel) -> tuple[Suspect, ...]:
    """List the functions that an audit suspects at `level`, each once."""
    found = (
        Suspect(file=file.name, function=finding.function.symbol, address=finding.function.address)
        for file in files
        for judged in [file.at(level)]
        for finding in (judged.findings if judged else ())
        if finding.verdict is AuditVerdict.SUSPECT
    )
    return tuple(dict.fromkeys(found))


def imports(files: Sequence[FileAudit]) -> tuple[Workload, ...]:
    """Return one workload for each installed package with compiled code: its import."""
    packages = {
        name
        for file in files
        if not file.skipped and not file.owner
        for name in [_package(file.name)]
        if name
    }
    return tuple(
        Workload(name=f"import {name}", argv=("python3", "-c", f"import {name}"))
        for name in sorted(packages)
    )


def _package(path: str) -> str:
    """Return the top-level package that a path in site-packages belongs to, if it is one."""
    for folder in ("site-packages/", "dist-packages/"):
        _, found, rest = path.rpartition(folder)
        if found:
            first = rest.split("/")[0]
            name = first.split(".")[0]
            # NAME.libs holds what auditwheel put into a wheel; its name is no module's.
            return name if name.isidentifier() and not first.endswith(".libs") else ""
    return ""
