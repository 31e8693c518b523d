"""Evidence: what a verification proved of one image, bound to its digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Level(IntEnum):
    """What verified means; a higher level counts only where all lower ones are reached."""

    L0 = 0  # inputs locked, image audited, nothing above the ISA level
    L1 = 1  # imports, versions and entry points as declared; the compiled op equals its definition
    L2 = 2  # BEVFormer-tiny equals the golden detections; the ground truth scores mAP 1.0
    L3 = 3  # the published checkpoint on nuScenes val, within 0.002 of the published metrics


class Outcome(StrEnum):
    """How one check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: the level that it belongs to, and what it saw or why it was skipped.

    A check that is not `required` may be skipped without keeping its level from being reached:
    it needs something, such as a data set, that only some machines have.
    """

    name: str
    level: Level
    outcome: Outcome
    seconds: float
    detail: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Checks that were made on another machine: of which image, by what, on which device."""

    digest: str
    engine: str
    device: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A verification: of which image, with what, on which device, and its checks."""

    image: str  # what people call it
    digest: str
    size: int  # of its compressed layers, in bytes
    key: str  # of the inputs that it was built from
    cell: str
    isa: str  # that the ops were compiled for
    runs_from: str  # the lowest level at which the audit knows of nothing that fails
    engine: str
    device: str
    checks: tuple[Check, ...]

    @property
    def level(self) -> Level | None:
        """Return the highest level reached, or None."""
        return reached(self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Return the checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)


def reached(checks: Sequence[Check]) -> Level | None:
    """Return the highest level of which, and below which, every required check passed.

    A level without a check that passed is not reached.
    """
    best = None
    for level in Level:
        mine = [check for check in checks if check.level is level]
        if not any(check.outcome is Outcome.PASSED for check in mine):
            return best
        if any(_keeps_from(check) for check in mine):
            return best
        best = level
    return best


def _keeps_from(check: Check) -> bool:
    return check.outcome is Outcome.FAILED or (check.required and check.outcome is Outcome.SKIPPED)


def document(evidence: Evidence) -> Mapping[str, object]:
    """Return the evidence as JSON values."""
    level = evidence.level
    return {
        "schema": 1,
        "image": evidence.image,
        "digest": evidence.digest,
        "size": evidence.size,
        "key": evidence.key,
        "cell": evidence.cell,
        "isa": evidence.isa,
        "runs_from": evidence.runs_from,
        "engine": evidence.engine,
        "device": evidence.device,
        "level": level.name if level is not None else None,
        "failed": [check.name for check in evidence.failed],
        "checks": [
            {
                "name": check.name,
                "level": check.level.name,
                "outcome": check.outcome.value,
                "seconds": round(check.seconds, 1),
                "detail": check.detail,
                "required": check.required,
            }
            for check in evidence.checks
        ],
    }
