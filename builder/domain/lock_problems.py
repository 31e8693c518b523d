"""What is wrong with a lock that is well-formed: every fault at once, by file and field."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping

from packaging.utils import canonicalize_name

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import ImageDefinition
from builder.domain.lock_files import REBUILDS, Reading, layer_file, where
from builder.domain.lockfile import BASE_GROUPS, Lock, PipLayer
from builder.domain.matrix import Cell, DebianBase, RegistryBase
from builder.domain.requirement_files import Pin, names, pins
from builder.domain.wheel_tags import fits, tags_of
from builder.errors import DataError

SOURCES = "sources.in"
_ARCHITECTURES = ("amd64", "all")


def cell_digest(cell: Cell, image: ImageDefinition, requirements: Mapping[str, str]) -> str:
    """Return the digest of all that decides a cell's inputs, as `sha256:...`.

    `requirements` maps the name of each requirement file to its text; comments do not count.
    What changes only the compilation or the wording (GPU architectures, titles) does not either.
    """
    python = str(cell.python)
    toolkit = cell.toolkit
    definition = {
        "base": _base(cell.base),
        "python": python,
        "torch": str(cell.torch),
        "toolkit": [str(toolkit.version), toolkit.channel] if toolkit else None,
        "packages": {name: str(version) for name, version in cell.packages.items()},
        "pins": {name: str(version) for name, version in cell.pins.items()},
        "epoch": image.epoch,
        "not_after": image.not_after,
        "layers": [layer.name for layer in image.layers],
        "sources": {
            name: source.commit for name, source in image.sources.items() if cell.holds_upstream
        },
        "requirements": {
            file: listed
            for file, text in requirements.items()
            if (listed := _asked_for(file, text, cell))
        },
    }
    text = json.dumps(definition, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _asked_for(file: str, text: str, cell: Cell) -> tuple[str, ...]:
    """Return the entries of a list that count: of the sources those that the cell names."""
    listed = names(text, python=str(cell.python))
    if file != SOURCES:
        return listed
    held = {canonicalize_name(name) for name in cell.packages}
    return tuple(name for name in listed if canonicalize_name(name) in held)


def _base(base: DebianBase | RegistryBase) -> list[str]:
    match base:
        case DebianBase():
            return ["debian", base.suite, *base.components]
        case RegistryBase():
            return ["registry", base.reference, base.digest]


def check(reading: Reading, *, image: str, cell: Cell, digest: str) -> Lock:
    """Return a lock that is fit for use, or raise one DataError with all its faults.

    `digest` is the `cell_digest` of the cell as it stands now.
    """
    lock = reading.lock
    found = [*reading.faults, *(problems(lock, cell=cell, digest=digest) if lock else ())]
    if lock is None or found:
        message = "\n".join(f"lock/{image}/{cell.id}/{fault}" for fault in found)
        raise DataError(message, hint=f"make it anew: `make lock CELL={cell.id}`")
    return lock


def problems(lock: Lock, *, cell: Cell, digest: str) -> tuple[str, ...]:
    """Return every fault of a well-formed lock, each from its file on."""
    return (
        *_head(lock, cell, digest),
        *_groups(lock, cell),
        *_layers(lock, cell),
        *_duplicates(lock),
    )


def _head(lock: Lock, cell: Cell, digest: str) -> Iterator[str]:
    if lock.cell != cell.id:
        yield f"lock.json: cell: {lock.cell!r}, but it lies in the folder of {cell.id!r}"
    elif lock.cell_digest != digest:
        yield "lock.json: cell_digest: the lock belongs to an older matrix or requirement list"
    match cell.base:
        case RegistryBase(digest=wanted):
            held = f"sha256:{lock.base.sha256}" if lock.base else "none"
            if held != wanted:
                yield f"base.json: artifact.sha256: {held}, but the matrix says {wanted}"
        case DebianBase():
            for group in BASE_GROUPS:
                if not lock.debs.get(group):
                    yield f"apt.json: groups.{group}: it is missing or empty"


def _groups(lock: Lock, cell: Cell) -> Iterator[str]:
    for group, debs in lock.debs.items():
        for number, deb in enumerate(debs):
            place = where("apt.json", "groups", group, number)
            if deb.kind is not ArtifactKind.DEB:
                yield f"{place}.kind: {deb.filename} is a {deb.kind}, not a deb"
            elif deb.architecture not in _ARCHITECTURES:
                yield f"{place}.architecture: {deb.filename} is not for amd64 ({cell.id})"
            elif deb.location.rpartition("/")[2] != deb.filename:
                yield f"{place}.location: {deb.location} does not end in {deb.filename}"


def _layers(lock: Lock, cell: Cell) -> Iterator[str]:
    tags = frozenset(tags_of(cell))
    layers = [
        *((layer, ("pip.json", "layers", number)) for number, layer in enumerate(lock.pip)),
        *((one.layer, (REBUILDS, "rebuilds", place)) for place, one in enumerate(lock.rebuilds)),
    ]
    for layer, steps in layers:
        for index, artifact in enumerate(layer.artifacts):
            place = where(*steps, "artifacts", index)
            if artifact.kind is ArtifactKind.WHEEL and not fits(artifact.filename, tags):
                yield (
                    f"{place}.filename: {artifact.filename} is another platform's wheel "
                    f"({cell.id} is Python {cell.python} on {cell.base.os}, x86-64)"
                )
        yield from _requirements(layer)
    yield from _versions(lock, cell)


def _requirements(layer: PipLayer) -> Iterator[str]:
    """Compare the pins of a layer with its artifacts: the same names, versions and hashes."""
    file = layer_file(layer.name)
    try:
        written = pins(layer.requirements)
    except DataError as error:
        yield f"{file}: {error}"
        return
    locked = {canonicalize_name(artifact.name): artifact for artifact in layer.artifacts}
    for pin in written:
        yield from _pin(file, pin, locked.get(canonicalize_name(pin.name)))
    for name in sorted(locked.keys() - {canonicalize_name(pin.name) for pin in written}):
        yield f"{file}: {name} is in pip.json, but not here"


def _pin(file: str, pin: Pin, artifact: Artifact | None) -> Iterator[str]:
    if not pin.hashes:
        yield f"{file}: {pin.name}: it has no hash"
    if artifact is None:
        yield f"{file}: {pin.name}: pip.json has no file for it"
        return
    if artifact.version != pin.version:
        yield f"{file}: {pin.name}: {pin.version}, but pip.json has {artifact.version}"
    if pin.hashes and pin.hashes != (artifact.sha256,):
        yield f"{file}: {pin.name}: its hash is not the one of {artifact.filename} in pip.json"


def _versions(lock: Lock, cell: Cell) -> Iterator[str]:
    """Find what the matrix pins and the lock holds in another version, or not at all."""
    held = {
        canonicalize_name(artifact.name): artifact.version
        for artifacts in (*(layer.artifacts for layer in lock.pip), lock.sources)
        for artifact in artifacts
    } | {canonicalize_name(row.name): row.version for row in lock.unlocked}
    wanted = {"torch": cell.torch, **cell.packages, **cell.pins}
    for name, version in wanted.items():
        found = held.get(canonicalize_name(name), "none")
        if found != str(version):
            yield f"pip.json: {name}: {found}, but the matrix says {version}"


def _duplicates(lock: Lock) -> Iterator[str]:
    files = {
        "apt.json": [deb for group in lock.debs.values() for deb in group],
        "pip.json": [artifact for layer in lock.pip for artifact in layer.artifacts],
        "sources.json": list(lock.sources),
        REBUILDS: [one.sdist for one in lock.rebuilds],
    }
    for file, artifacts in files.items():
        counts = Counter(canonicalize_name(artifact.name) for artifact in artifacts)
        for name in sorted(name for name, count in counts.items() if count > 1):
            yield f"{file}: {name} is locked {counts[name]} times"
