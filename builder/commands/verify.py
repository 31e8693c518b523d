"""`verify`: run the image's tests, and bind what they proved to its digest."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from builder.commands.build import Order
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.engine import Engine
from builder.domain.evidence import Check, Evidence, Level, Outcome, Recorded
from builder.domain.image import ImageRef
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import Lock
from builder.domain.tables import IsaFloor
from builder.errors import UsageError

# Where the files lie that Cellar compiles.
_OPS = ("/mmcv/_ext.", "/mmdet3d/ops/", "/detectron2/_C.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an image is without being run: its compressed size in bytes, and its audit.

    `floors` are the wheels that the matrix says keep its cell from lower levels, `replaced` those
    in whose place the image holds what was compiled anew.
    """

    size: int
    audit: ImageAudit
    floors: tuple[IsaFloor, ...] = ()
    replaced: tuple[IsaFloor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a verification works with.

    `tests` runs the tests of tests/image; `recorded` holds what they found on another machine, in
    which case they are not run here; `key` gives the inputs that an image was built from,
    empty where they are not known.
    """

    engine: Engine
    tests: Callable[[], Sequence[Check]]
    inspect: Callable[[ImageRef], Inspection]
    key: Callable[[ImageRef], str]
    recorded: Recorded | None = None


def verify(order: Order, tools: Tools) -> Evidence:
    """Verify the image of `order`; that the engine has none is a UsageError."""
    image = tools.engine.find(order.tag)
    if image is None:
        message = f"{tools.engine.name} has no image {order.tag}"
        raise UsageError(message, hint=f"`cellar build --cell {order.recipe.cell.id}` makes it")
    if tools.recorded and tools.recorded.digest != image.digest:
        message = f"the results are of {tools.recorded.digest}, and {order.tag} is {image.digest}"
        raise UsageError(message, hint="test the image that is verified")
    with ThreadPoolExecutor(1) as pool:  # it reads one file after another, and the tests wait too
        inspecting = pool.submit(tools.inspect, image)
        tested = tools.recorded.checks if tools.recorded else tools.tests()
        inspection = inspecting.result()
    selection = order.recipe.selection
    lowest = inspection.audit.lowest
    checks = (_lock_is_complete(order.lock), *_audit_checks(inspection, selection.isa))
    return Evidence(
        image=order.tag,
        digest=image.digest,
        size=inspection.size,
        key=tools.key(image),
        cell=selection.cell.id,
        isa=str(selection.isa),
        runs_from=str(lowest) if lowest else "unknown",
        engine=tools.recorded.engine if tools.recorded else tools.engine.version(),
        device=tools.recorded.device if tools.recorded else "cpu",
        checks=(*checks, *tested),
    )


def _audit_checks(inspection: Inspection, asked: IsaLevel) -> Iterator[Check]:
    files = [file for file in inspection.audit.files if not file.skipped]
    ops = [file for file in files if any(place in f"/{file.name}" for place in _OPS)]
    yield _audit_check(f"the compiled ops hold to {asked}", ops, asked, AuditVerdict.SUSPECT)
    whole = _audit_check(f"nothing fails on CPUs of {asked}", files, asked, AuditVerdict.INIT_FAIL)
    waived = sum(row.functions for row in inspection.audit.waived)
    told = f"{whole.detail}; {waived} functions waived after review" if waived else whole.detail
    yield replace(whole, detail=told)
    for floor in inspection.replaced:
        name = f"{floor.distribution}, compiled anew, holds to {asked}"
        own = [file for file in files if f"/site-packages/{floor.package}/" in file.name]
        yield _audit_check(name, own, asked, AuditVerdict.UNKNOWN)
    if inspection.floors:
        yield _floors_check(inspection.floors, files)


def _floors_check(floors: Sequence[IsaFloor], files: Sequence[FileAudit]) -> Check:
    """Pass where the audit shows what the matrix says of each wheel: file, function, instruction.

    Else the matrix is out of date, and what it refuses may be possible.
    """
    stale = [str(floor) for floor in floors if not _shown(floor, files)]
    return Check(
        name="the matrix says rightly what keeps the cell from lower levels",
        level=Level.L0,
        outcome=Outcome.FAILED if stale else Outcome.PASSED,
        seconds=0.0,
        detail="; ".join(f"not so: {text}" for text in stale) or f"{len(floors)} wheels",
    )


def _shown(floor: IsaFloor, files: Sequence[FileAudit]) -> bool:
    below = max(level for level in IsaLevel if level < floor.level)
    return any(
        finding.verdict >= AuditVerdict.SUSPECT
        and floor.needs in finding.needs
        and finding.instruction == floor.instruction
        and floor.function == (finding.function.symbol or hex(finding.function.address))
        for file in files
        if file.build_id == floor.build_id and file.name.endswith(floor.file)
        for judged in [file.at(below)]
        for finding in (judged.findings if judged else ())
    )


def _audit_check(
    name: str, files: Sequence[FileAudit], level: IsaLevel, refused: AuditVerdict
) -> Check:
    """Pass where there are files, and none of them has a verdict as bad as `refused`.

    Those that have are named with the function and the instruction.
    """
    bad = sorted(_shortcoming(file, level) for file in files if file.verdict(level) >= refused)
    counts = Counter(file.verdict(level).value for file in files)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return Check(
        name=name,
        level=Level.L0,
        outcome=Outcome.PASSED if files and not bad else Outcome.FAILED,
        seconds=0.0,
        detail="; ".join([told or "no such file", *bad]),
    )


def _shortcoming(file: FileAudit, level: IsaLevel) -> str:
    """Say which function of a file needs more than `level`, and by which instruction."""
    verdict, judged = file.verdict(level), file.at(level)
    for finding in judged.findings if judged else ():
        if finding.verdict is verdict:
            function = finding.function.symbol or hex(finding.function.address)
            needs = ", ".join(finding.needs)
            return f"{file.name}: {verdict.value}: {function}: {finding.instruction} needs {needs}"
    return f"{file.name}: {verdict.value}"


def _lock_is_complete(lock: Lock) -> Check:
    """Pass where all that the image holds has a confirmed hash; what it lacks it never claims."""
    quoted = [artifact.filename for artifact in lock.artifacts() if artifact.quoted]
    faults = [f"{one.name} has no hash" for one in lock.gaps]
    faults += [f"{name} is only quoted" for name in quoted]
    absent = [f"without {one.name} {one.version}" for one in lock.absent]
    return Check(
        name="every input is locked by a confirmed hash",
        level=Level.L0,
        outcome=Outcome.FAILED if faults else Outcome.PASSED,
        seconds=0.0,
        detail="; ".join(faults) or ", ".join([f"{len(lock.artifacts())} inputs", *absent]),
    )
