"""`verify`: run the image's tests, and bind what they proved to its digest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builder.commands.build import Order
from builder.domain.engine import Engine
from builder.domain.evidence import Check, Evidence, Level, Outcome
from builder.domain.image import ImageRef
from builder.domain.lockfile import Lock
from builder.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What an image is without being run: its compressed size in bytes, and its audit."""

    size: int
    audit: Check


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
    return Evidence(
        image=order.tag,
        digest=image.digest,
        size=inspection.size,
        key=tools.key(image),
        cell=selection.cell.id,
        isa=str(selection.isa),
        engine=tools.engine.version(),
        device="cpu",
        checks=(_lock_is_complete(order.lock), inspection.audit, *tools.tests()),
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
