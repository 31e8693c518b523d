"""`cellar prove`: an image's workloads on an emulated CPU, with all that stays unproven."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.domain.audit.report import FileAudit
from builder.domain.cpu_model import CpuChoice
from builder.domain.isa import highest_level
from builder.domain.proof import (
    Outcome,
    Proof,
    Suspect,
    Workload,
    hold_against_known,
    unproven,
)
from builder.errors import VerificationError


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is proven: an image by name and digest, its audited files."""

    target: str
    digest: str
    files: tuple[FileAudit, ...]


def prove(
    subject: Subject,
    cpu: CpuChoice,
    features: tuple[str, ...],
    *,
    emulator: str,
    run: Callable[[], tuple[Sequence[Outcome], Sequence[Suspect]]],
) -> Proof:
    """Run the workloads on a CPU that shows `features`, which must be those of the level.

    `run` returns how each workload ended, and the suspects with who entered them.
    """
    shown = highest_level(features)
    if cpu.level is not None and shown is not cpu.level:
        message = f"{cpu.model} shows {shown} under {emulator}, not {cpu.level}"
        raise VerificationError(message, hint="use qemu 7.2 or later, or name a model with --cpu")
    outcomes, entered = run()
    return Proof(
        target=subject.target,
        digest=subject.digest,
        model=cpu.model,
        level=cpu.level,
        emulator=emulator,
        features=features,
        outcomes=tuple(hold_against_known(outcome, cpu.level or shown) for outcome in outcomes),
        suspects=tuple(entered),
        unproven=unproven(subject.files, cpu.level or shown),
    )


def workloads(
    found: Sequence[Workload], given: Sequence[Workload], chosen: Sequence[str]
) -> tuple[Workload, ...]:
    """Return what is to run: everything, or what `chosen` names; an unknown name is refused."""
    known = {workload.name: workload for workload in (*found, *given)}
    missing = [name for name in chosen if name not in known]
    if missing:
        message = f"there is no workload {missing[0]!r}"
        raise VerificationError(message, hint=f"the image has: {', '.join(known)}")
    return tuple(known[name] for name in chosen) if chosen else tuple(known.values())
