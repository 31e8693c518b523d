"""A passport: what one image, by digest, needs of its host, and what was proven of it by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.domain.audit.report import ImageAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import CodeKind, Service, judge_gpus
from builder.domain.isa import IsaLevel
from builder.domain.sealed import JSON, SCHEMA, Sealed, sealed_document

# From here on a function is open: it may or may not run on a CPU of the level.
_OPEN = AuditVerdict.POINTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What the audit of all files says: the lowest level without a failure, and what stays open.

    `open` counts functions by verdict at the level that the image was built for; `licence` counts
    the files that their owner forbids to decode.
    """

    lowest: IsaLevel | None
    verdict: AuditVerdict
    open: Mapping[str, int]
    licence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One record of workloads on a CPU of a level; `how` is `qemu` or `native`."""

    level: IsaLevel
    how: str
    cpu: str  # the model, or the device's name
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    date: str
    entered: int = 0  # suspects that a workload entered, and that did no harm
    unentered: int = 0  # suspects of which no run tells anything
    known: tuple[str, ...] = ()  # what is known to end in SIGILL on such a CPU, a sentence each

    @property
    def holds(self) -> bool:
        """Say whether something ran, and all of it passed."""
        return bool(self.passed) and not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One recorded verification; `date` is empty where the record has none."""

    level: str  # L0 to L3
    device: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The device code of one file: its own architectures, and all that others added to it.

    `missing` are declared GPUs that its own code reaches neither natively nor by JIT.
    """

    file: str
    own: tuple[str, ...]
    cubins: tuple[str, ...]
    ptx: tuple[str, ...]
    owner: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """All that is known of one image; what nobody measured is None or empty, and so unproven."""

    digest: str
    sealed: Sealed
    size: int | None = None  # of its compressed layers, in bytes
    audited: Audited | None = None
    runs: tuple[Run, ...] = ()
    libraries: tuple[Library, ...] = ()
    verified: tuple[Verified, ...] = ()

    @property
    def proven(self) -> IsaLevel | None:
        """Return the lowest level at which nothing fails in the audit and every workload passed."""
        floor = self.audited.lowest if self.audited else None
        if floor is None:
            return None
        return min(
            (run.level for run in self.runs if run.holds and run.level >= floor), default=None
        )

    @property
    def proofs(self) -> tuple[str, ...]:
        """Say by what `proven` is proven: the audit, and each run at that level."""
        if self.proven is None:
            return ()
        runs = [run for run in self.runs if run.holds and run.level is self.proven]
        return ("audit", *dict.fromkeys(f"{run.how}: {run.cpu}" for run in runs))

    @property
    def unproven(self) -> tuple[str, ...]:
        """Say, a sentence each, what nothing here proves."""
        return tuple(_unproven(self))


def _unproven(passport: Passport) -> Sequence[str]:
    found = []
    isa = passport.sealed.isa
    if passport.audited is None:
        found.append("its files were not audited")
    else:
        found += [
            f"{count} functions are {verdict} at {isa}"
            for verdict, count in passport.audited.open.items()
        ]
        if passport.audited.licence:
            found.append(f"{passport.audited.licence} files may not be audited: licence")
    if not any(run.holds and run.level <= isa for run in passport.runs):
        found.append(f"no run on a CPU of {isa} passed")
    found += dict.fromkeys(sentence for run in passport.runs for sentence in run.known)
    unentered = [run.unentered for run in passport.runs if run.unentered]
    if unentered:
        found.append(f"{min(unentered)} suspect functions were entered by no workload")
    found += [
        f"{one.file} has no code for {', '.join(one.missing)}"
        for one in passport.libraries
        if one.missing and not one.owner
    ]
    if not passport.verified:
        found.append("no verification is recorded")
    elif passport.sealed.gpu and all(one.device == "cpu" for one in passport.verified):
        found.append("no GPU has run it")
    return found


def audited(audit: ImageAudit, isa: IsaLevel) -> Audited:
    """Sum up an audit at the level that the image was built for."""
    files = [file for file in audit.files if not file.skipped]
    open_functions: dict[str, int] = {}
    for file in files:
        judged = file.at(isa)
        for row in judged.counts if judged else ():
            if row.verdict >= _OPEN:
                name = row.verdict.value
                open_functions[name] = open_functions.get(name, 0) + row.functions
    return Audited(
        lowest=audit.lowest,
        verdict=audit.verdict,
        open={name: open_functions[name] for name in sorted(open_functions)},
        licence=sum(file.verdict(isa) is AuditVerdict.LICENCE for file in files),
    )


def libraries(audit: ImageAudit, gpus: Sequence[ComputeCapability] = ()) -> tuple[Library, ...]:
    """List the device code of every file that has some, held against the declared GPUs."""
    return tuple(
        Library(
            file=file.name,
            own=file.device_code.own,
            cubins=_named(file.device_code.sizes, CodeKind.CUBIN),
            ptx=_named(file.device_code.sizes, CodeKind.PTX),
            owner=file.owner,
            missing=tuple(
                str(one.device)
                for one in judge_gpus(file.device_code, gpus).judgements
                if one.service is Service.MISSING
            ),
        )
        for file in audit.files
        if file.device_code.containers
    )


def _named(names: Mapping[str, int], kind: CodeKind) -> tuple[str, ...]:
    prefix = "sm_" if kind is CodeKind.CUBIN else "compute_"
    return tuple(name for name in names if name.startswith(prefix))


def document(passport: Passport) -> dict[str, JSON]:
    """Return all of it under passport.schema.json."""
    return {
        "schema": SCHEMA,
        "digest": passport.digest,
        "size": passport.size,
        "sealed": sealed_document(passport.sealed),
        "proven": {"isa": str(passport.proven), "proofs": list(passport.proofs)}
        if passport.proven
        else None,
        "audit": _audit_document(passport.audited) if passport.audited else None,
        "runs": [_run_document(run) for run in passport.runs],
        "libraries": [
            {
                "file": one.file,
                "own": list(one.own),
                "cubins": list(one.cubins),
                "ptx": list(one.ptx),
                "owner": one.owner,
                "missing": list(one.missing),
            }
            for one in passport.libraries
        ],
        "verified": [
            {"level": one.level, "device": one.device, "date": one.date or None}
            for one in passport.verified
        ],
        "unproven": list(passport.unproven),
    }


def _audit_document(audit: Audited) -> dict[str, JSON]:
    return {
        "lowest": str(audit.lowest) if audit.lowest else None,
        "verdict": audit.verdict.value,
        "open": dict(audit.open),
        "licence": audit.licence,
    }


def _run_document(run: Run) -> dict[str, JSON]:
    return {
        "level": str(run.level),
        "how": run.how,
        "cpu": run.cpu,
        "passed": list(run.passed),
        "failed": list(run.failed),
        "date": run.date or None,
        "entered": run.entered,
        "unentered": run.unentered,
    }
