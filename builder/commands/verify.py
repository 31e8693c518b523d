"""`verify`: run the image's tests, and bind what they proved to its digest."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.commands.build import Order
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.engine import Engine
from builder.domain.evidence import Check, Evidence, Level, Outcome
from builder.domain.image import ImageRef
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import Lock
from builder.errors import UsageError

# The index builds its binary wheels for this level by now (OpenCV, NumPy 2), so below it an image
# made of them can promise nothing; what Cellar compiles itself is held to the level asked for.
WHEELS_LEVEL = IsaLevel.V2

# Where the files lie that Cellar compiles.
_OPS = ("/mmcv/_ext.", "/mmdet3d/ops/", "/detectron2/_C.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an image is without being run: its compressed size in bytes, and its audit."""

    size: int
    audit: ImageAudit


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a verification works with.

    `tests` runs the tests of tests/image; `key` gives the inputs that an image was built from,
    empty where they are not known.
    """

    engine: Engine
    tests: Callable[[], Sequence[Check]]
    inspect: Callable[[ImageRef], Inspection]
    key: Callable[[ImageRef], str]


def verify(order: Order, tools: Tools) -> Evidence:
    """Verify the image of `order`; that the engine has none is a UsageError."""
    image = tools.engine.find(order.tag)
    if image is None:
        message = f"{tools.engine.name} has no image {order.tag}"
        raise UsageError(message, hint=f"`cellar build --cell {order.recipe.cell.id}` makes it")
    inspection = tools.inspect(image)
    selection = order.recipe.selection
    lowest = inspection.audit.lowest
    checks = (_lock_is_complete(order.lock), *_audit_checks(inspection.audit, selection.isa))
    return Evidence(
        image=order.tag,
        digest=image.digest,
        size=inspection.size,
        key=tools.key(image),
        cell=selection.cell.id,
        isa=str(selection.isa),
        runs_from=str(lowest) if lowest else "unknown",
        engine=tools.engine.version(),
        device="cpu",
        checks=(*checks, *tools.tests()),
    )


def _audit_checks(audit: ImageAudit, asked: IsaLevel) -> tuple[Check, Check]:
    files = [file for file in audit.files if not file.skipped]
    ops = [file for file in files if any(place in f"/{file.name}" for place in _OPS)]
    floor = max(asked, WHEELS_LEVEL)
    return (
        _audit_check(f"the compiled ops hold to {asked}", ops, asked, AuditVerdict.SUSPECT),
        _audit_check(f"nothing fails on CPUs of {floor}", files, floor, AuditVerdict.INIT_FAIL),
    )


def _audit_check(
    name: str, files: Sequence[FileAudit], level: IsaLevel, refused: AuditVerdict
) -> Check:
    """Pass where there are files, and none of them has a verdict as bad as `refused`."""
    verdicts = {file.name: file.verdict(level) for file in files}
    bad = sorted(file for file, verdict in verdicts.items() if verdict >= refused)
    counts = Counter(verdict.value for verdict in verdicts.values())
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return Check(
        name=name,
        level=Level.L0,
        outcome=Outcome.PASSED if files and not bad else Outcome.FAILED,
        seconds=0.0,
        detail="; ".join([told or "no such file", *bad]),
    )


def _lock_is_complete(lock: Lock) -> Check:
    quoted = [artifact.filename for artifact in lock.artifacts() if artifact.quoted]
    gaps = [f"{one.name} has no hash" for one in lock.unlocked]
    gaps += [f"{name} is only quoted" for name in quoted]
    return Check(
        name="every input is locked by a confirmed hash",
        level=Level.L0,
        outcome=Outcome.FAILED if gaps else Outcome.PASSED,
        seconds=0.0,
        detail="; ".join(gaps) or f"{len(lock.artifacts())} inputs",
    )
