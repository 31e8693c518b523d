"""`lock`: find every input of a cell, by hash, with the network of this host."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from packaging.version import Version

from builder.domain import quoting
from builder.domain.artifact import Artifact
from builder.domain.lock_files import Reading
from builder.domain.lock_problems import check
from builder.domain.lockfile import Lock, PipLayer, RebuildInputs, Unlocked
from builder.domain.locking import (
    Definition,
    artifact,
    choose,
    choose_sdist,
    locked_pin,
    rebuild_layer,
)
from builder.domain.matrix import DebianBase, RegistryBase
from builder.domain.progress import Progress
from builder.domain.recipe import TORCH
from builder.domain.requirement_files import Pin, pins, render
from builder.domain.wheel_tags import Candidate, tags_of
from builder.errors import DataError

_AT_ONCE = 8  # questions to the index


class Resolver(Protocol):
    """pip-compile, in the cell's base."""

    def compile(self, layer: str, requirements: str, constraints: str) -> str:
        """Return the pins of a layer, as pip-compile writes them."""
        ...


class Index(Protocol):
    """The package indexes of this host."""

    def candidates(self, name: str, version: str) -> Sequence[Candidate]:
        """Return every file of a distribution at one version."""
        ...

    def measure(self, candidate: Candidate) -> tuple[str, int]:
        """Return the sha256 of a file and its size in bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a lock is made with.

    `debs` resolves groups of Debian packages; `resolver` is opened with the lock so far, whose
    .debs make the base that pip-compile runs in.
    """

    debs: Callable[[DebianBase, Mapping[str, Sequence[str]]], Mapping[str, tuple[Artifact, ...]]]
    resolver: Callable[[Lock], AbstractContextManager[Resolver]]
    index: Index


def make(definition: Definition, tools: Tools, progress: Progress) -> Lock:
    """Lock every input of one cell anew (network); nothing is written.

    The pip layers are compiled in their order, each under the pins of those before it: torch
    decides first, so that no resolver ever has to search for a set of versions.
    """
    base = definition.cell.base
    # pip-compile passes over an index that does not answer, after minutes; this one asks at once.
    with _step(progress, "asking the package indexes"):
        tools.index.candidates("torch", str(definition.cell.torch))
    if isinstance(base, DebianBase):
        lock = _resolved(definition, base, tools, progress)
    else:
        lock = _quoted(definition, base, tools.index, progress)
    sources = (*_sdists(definition, tools.index), *definition.tree_artifacts)
    lock = replace(lock, sources=sources, unlocked=(*lock.unlocked, *_without(definition)))
    return check(
        Reading(lock, ()),
        image=definition.image.name,
        cell=definition.cell,
        digest=definition.digest,
    )


def _resolved(definition: Definition, base: DebianBase, tools: Tools, progress: Progress) -> Lock:
    """Lock debs and wheels of a base that Cellar assembles, resolved inside of it."""
    lock = _empty(definition)
    with _step(progress, f"resolving Debian {base.suite}"):
        lock = replace(lock, debs=tools.debs(base, definition.deb_groups))
    with tools.resolver(lock) as resolver:
        layers = _compile(definition, resolver, progress)
        rebuilds = _compile_rebuilds(definition, resolver, layers, progress)
    chosen = {
        layer.name: layer
        for layer in _choose(definition, {**layers, **rebuilds}, tools.index, progress)
    }
    return replace(
        lock,
        pip=tuple(chosen[name] for name in layers),
        rebuilds=tuple(
            RebuildInputs(
                sdist=_sdist(one.distribution, one.version, tools.index),
                requirements=one.requirements,
                layer=chosen[rebuild_layer(one.distribution)],
            )
            for one in definition.rebuilds
            if rebuild_layer(one.distribution) in rebuilds
        ),
    )


def _quoted(definition: Definition, base: RegistryBase, index: Index, progress: Progress) -> Lock:
    """Lock what is known of a cell without its base; the rest stays without a hash."""
    quoted = quoting.quoted_files(definition)
    layers, unlocked = [], list(quoting.unlocked_debs(definition, base))
    for layer in definition.image.layers:
        rows: list[Artifact] = []
        with _step(progress, f"choosing what is stated of the layer {layer.name}"):
            for row in quoting.asked_for(definition, layer):
                found = _stated(row, quoted, definition, index) if isinstance(row, Pin) else row
                if isinstance(found, Artifact):
                    rows.append(found)
                else:
                    unlocked.append(found)
        pins_of = (Pin(name=one.name, version=one.version, hashes=(one.sha256,)) for one in rows)
        layers.append(
            PipLayer(name=layer.name, requirements=render(pins_of), artifacts=tuple(rows))
        )
    return replace(
        _empty(definition),
        base=quoting.base_artifact(base),
        pip=tuple(layers),
        unlocked=tuple(unlocked),
    )


def _stated(
    pin: Pin, quoted: Mapping[str, Artifact], definition: Definition, index: Index
) -> Artifact | Unlocked:
    if pin.name in quoted:
        return quoted[pin.name]
    try:
        chosen = choose(pin, index.candidates(pin.name, pin.version), tags_of(definition.cell))
    except DataError as error:
        return quoting.unresolved(pin.name, pin.version, str(error))
    return artifact(pin.name, pin.version, chosen, measured=index.measure(chosen))


@contextmanager
def _step(progress: Progress, text: str) -> Iterator[None]:
    task = progress.task(text)
    try:
        yield
    finally:
        task.finish()


def _empty(definition: Definition) -> Lock:
    cell = definition.cell
    return Lock(
        image=definition.image.name,
        cell=cell.id,
        cell_digest=definition.digest,
        epoch=definition.image.epoch,
        base=None,
        debs={},
        pip=tuple(
            PipLayer(name=layer.name, requirements="", artifacts=())
            for layer in definition.image.layers
        ),
    )


def _compile(
    definition: Definition, resolver: Resolver, progress: Progress
) -> Mapping[str, tuple[Pin, ...]]:
    """Return the pins of each layer; a distribution belongs to the first layer that needs it."""
    decided = definition.constraints
    taken: dict[str, Pin] = {}
    layers = {}
    for layer in definition.image.layers:
        with _step(progress, f"resolving the pip layer {layer.name}"):
            asked = "".join(f"{line}\n" for line in definition.layer(layer))
            text = resolver.compile(layer.name, asked, decided)
        found = (*pins(text), *definition.unresolved(layer))
        layers[layer.name] = tuple(pin for pin in found if pin.name not in taken)
        taken |= {pin.name: pin for pin in found}
        decided = definition.constraints + _versions(taken.values())
    return layers


def _compile_rebuilds(
    definition: Definition,
    resolver: Resolver,
    layers: Mapping[str, tuple[Pin, ...]],
    progress: Progress,
) -> Mapping[str, tuple[Pin, ...]]:
    """Return what compiles each wheel anew, in the versions of the layers where those have it.

    Each is a layer of its own, by name. Left out is what the stage has anyway: torch's layer and
    the toolchain's.
    """
    found = {pin.name: pin for layer in layers.values() for pin in layer}
    there = {TORCH, *(layer.name for layer in definition.image.layers if layer.stage != "runtime")}
    present = {pin.name for name in there for pin in layers[name]}
    decided = definition.constraints + _versions(found.values())
    compiled = {}
    for one in definition.rebuilds:
        if one.distribution not in found or found[one.distribution].version != str(one.version):
            continue  # the lock holds another wheel, of which nobody knows what it needs
        name = rebuild_layer(one.distribution)
        with _step(progress, f"resolving what compiles {one} anew"):
            text = resolver.compile(
                name, "".join(f"{line}\n" for line in one.requirements), decided
            )
        compiled[name] = tuple(pin for pin in pins(text) if pin.name not in present)
    return compiled


def _versions(found: Iterable[Pin]) -> str:
    return "".join(f"{pin.name}=={pin.version}\n" for pin in sorted(found, key=_by_name))


def _by_name(pin: Pin) -> str:
    return pin.name


def _choose(
    definition: Definition,
    layers: Mapping[str, tuple[Pin, ...]],
    index: Index,
    progress: Progress,
) -> Iterator[PipLayer]:
    tags = tags_of(definition.cell)
    task = progress.task(
        "choosing one file for each distribution", total=sum(map(len, layers.values()))
    )

    def lock_one(pin: Pin) -> tuple[Pin, Artifact]:
        chosen = choose(pin, index.candidates(pin.name, pin.version), tags)
        file = artifact(pin.name, pin.version, chosen, measured=index.measure(chosen))
        task.advance(1)
        return locked_pin(pin, file), file

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for name, layer in layers.items():
            rows = list(pool.map(lock_one, layer))
            yield PipLayer(
                name=name,
                requirements=render(pin for pin, _ in rows),
                artifacts=tuple(file for _, file in rows),
            )
    task.finish()


def _sdists(definition: Definition, index: Index) -> Iterator[Artifact]:
    for name, version in definition.sources.items():
        yield _sdist(name, version, index)


def _sdist(name: str, version: Version, index: Index) -> Artifact:
    chosen = choose_sdist(name, version, index.candidates(name, str(version)))
    return artifact(name, str(version), chosen, measured=index.measure(chosen))


def _without(definition: Definition) -> Iterator[Unlocked]:
    """Yield the packages of the cell that no requirement list and no source tree brings."""
    for name in definition.without_source:
        yield definition.unlocked(name, "image.yaml names no source of it")


def settle(lock: Lock, old: Lock | None) -> Lock:
    """Return a new lock with what the old one knew of built images, if no input has changed.

    What compiles wheels anew is an input of few of them, and is part of their keys.
    """
    if old is None:
        return lock
    kept = replace(lock, expected=old.expected)
    return kept if replace(kept, rebuilds=old.rebuilds) == old else lock
