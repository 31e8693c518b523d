"""`reproduce`: build an image again, cold, and say how the two builds differ."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

from builder.commands.build import Built, Order, Tools, build, key_of, op_keys
from builder.domain.comparison import (
    Comparison,
    FileFacts,
    ImageFacts,
    Likeness,
    compare_files,
    compare_settings,
)
from builder.domain.engine import Engine
from builder.domain.lockfile import ExpectedImage, Lock
from builder.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads OCI layouts: what an image is made of, and every file of it."""

    image: Callable[[Path], ImageFacts]
    files: Callable[[Path], Mapping[str, FileFacts]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpWheel:
    """An op wheel that was compiled again: its key, and the sha256 each time."""

    key: str
    kept: str | None  # None: the store had none to compare with
    now: str

    @property
    def same(self) -> bool:
        """Say whether compiling again gave the same bytes, where there was a first time."""
        return self.kept in (None, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A second build, what it was compared with, and how alike the two are.

    `strict` says that the first was made by this very engine, so that digests must be equal.
    """

    against: str
    strict: bool
    comparison: Comparison
    second: ImageFacts
    key: str  # of the inputs of both
    engine: str
    wheels: tuple[OpWheel, ...]

    @property
    def passed(self) -> bool:
        """Say whether the second build is as alike to the first as it must be."""
        alike = self.comparison.likeness
        enough = alike is Likeness.DIGEST or (
            not self.strict and alike is not Likeness.DIFFERENT and not self.comparison.differences
        )
        return enough and all(wheel.same for wheel in self.wheels)


def reproduce(order: Order, tools: Tools, reader: Reader, *, first_engine: Engine) -> Reproduction:
    """Build `order` without any cache and compare it with the lock's image, else the kept one.

    The lock's counts where it was made from today's inputs; the kept image is what `first_engine`
    has under the same tag, and tells which files differ. Where there is neither, it is a
    UsageError before anything is built.
    """
    expected = expected_of(order, key_of(order, tools))
    kept = first_engine.find(order.tag)
    if expected is None and kept is None:
        message = f"nothing to compare {order.tag} with: no such image, and none in the lock"
        raise UsageError(message, hint=f"`cellar build --cell {order.recipe.cell.id}` first")
    first = None
    if kept is not None:
        first_engine.save(kept, into=tools.work / "first")
        first = reader.image(tools.work / "first")
    kept_wheels = _kept_wheels(order, tools)
    built = build(replace(order, cold=True, suffix="-again"), tools)
    tools.engine.save(built.image, into=tools.work / "second")
    tools.engine.remove(built.image.tag)
    second = reader.image(tools.work / "second")
    return Reproduction(
        against=f"lock, built by {expected.engine}" if expected else f"{order.tag} of this machine",
        strict=_same_engine(expected, tools.engine, first_engine),
        comparison=_compare(expected, first, second, tools.work, reader),
        second=second,
        key=built.key,
        engine=tools.engine.version(),
        wheels=tuple(_wheels(built, kept_wheels)),
    )


def expected_of(order: Order, key: str) -> ExpectedImage | None:
    """Return what the lock says that the inputs `key` must give, if it says so."""
    wanted = (str(order.recipe.selection.isa), order.target, order.recipe.selection.narrower, key)
    for image in order.lock.expected:
        if (image.isa, image.target, image.gpu, image.key) == wanted:
            return image
    return None


def record(order: Order, reproduction: Reproduction) -> Lock:
    """Return the lock of `order` with the reproduced image as the expected one."""
    selection, second = order.recipe.selection, reproduction.second
    made = ExpectedImage(
        isa=str(selection.isa),
        target=order.target,
        key=reproduction.key,
        digest=second.digest,
        diff_ids=second.diff_ids,
        engine=reproduction.engine,
        gpu=selection.narrower,
    )
    others = [
        image
        for image in order.lock.expected
        if (image.isa, image.target, image.gpu) != (made.isa, made.target, made.gpu)
    ]
    expected = sorted([*others, made], key=lambda image: (image.isa, image.target, image.gpu))
    return replace(order.lock, expected=tuple(expected))


def _compare(
    expected: ExpectedImage | None,
    first: ImageFacts | None,
    second: ImageFacts,
    work: Path,
    reader: Reader,
) -> Comparison:
    reference = expected or first
    assert reference is not None  # noqa: S101 - reproduce() has refused to begin otherwise
    if reference.digest == second.digest:
        return Comparison(likeness=Likeness.DIGEST)
    if reference.diff_ids == second.diff_ids:
        settings = compare_settings(first, second) if first else ()
        return Comparison(likeness=Likeness.LAYERS, differences=settings)
    if first is None:
        return Comparison(likeness=Likeness.DIFFERENT, differences=_layers(reference, second))
    return compare_files(
        reader.files(work / "first"),
        reader.files(work / "second"),
        compare_settings(first, second),
    )


def _layers(expected: ExpectedImage | ImageFacts, second: ImageFacts) -> tuple[str, ...]:
    pairs = zip_longest(expected.diff_ids, second.diff_ids, fillvalue="no layer")
    return tuple(
        f"layer {number}: {before} -> {after} (build it twice here to see which files)"
        for number, (before, after) in enumerate(pairs, start=1)
        if before != after
    )


def _same_engine(expected: ExpectedImage | None, engine: Engine, first: Engine) -> bool:
    if expected is not None:
        return expected.engine == engine.version()
    return engine.name == first.name


def _kept_wheels(order: Order, tools: Tools) -> Mapping[str, str]:
    found = {key: tools.store.op_wheel(key) for key in op_keys(order, tools).values()}
    return {key: _sha256(path) for key, path in found.items() if path is not None}


def _wheels(built: Built, kept: Mapping[str, str]) -> Iterator[OpWheel]:
    for key, path in built.wheels.items():
        yield OpWheel(key=key, kept=kept.get(key), now=_sha256(path))


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
