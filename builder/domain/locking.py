"""What goes into a lock: the parts of a definition, and the file that is chosen for each pin."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    canonicalize_name,
    parse_sdist_filename,
)
from packaging.version import Version

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import ImageDefinition, PipLayerDefinition, SourceDefinition
from builder.domain.lock_problems import SOURCES, cell_digest
from builder.domain.lockfile import Unlocked
from builder.domain.matrix import Cell, RegistryBase
from builder.domain.requirement_files import Pin, names, pins
from builder.domain.tables import Rebuild
from builder.domain.wheel_tags import Candidate, best_wheel
from builder.errors import DataError

DEB_GROUPS = ("essential", "base", "toolchain")
UPSTREAM = "upstream.in"
UNRESOLVED = "unresolved.in"
QUOTED = "quoted.txt"
RUNTIME = "runtime"  # the layer that the lists UPSTREAM and UNRESOLVED join
_REBUILD = "rebuild-"
_TORCH_INDEX = "https://download.pytorch.org/whl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """All that people wrote about one cell; `requirements` maps a file's name to its text.

    `rebuilds` are the wheels that lower ISA levels need compiled anew. They decide no other input,
    so a lock without them is not out of date.
    """

    cell: Cell
    image: ImageDefinition
    requirements: Mapping[str, str]
    rebuilds: tuple[Rebuild, ...] = ()

    @property
    def digest(self) -> str:
        """Return the digest that ties a lock to this definition."""
        return cell_digest(self.cell, self.image, self.requirements)

    def names(self, file: str) -> tuple[str, ...]:
        """Return the entries of a requirement file; none where the cell has no such file."""
        return names(self.requirements.get(file, ""), python=str(self.cell.python))

    @property
    def deb_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the packages of each group, in the order of installation."""
        return {group: self.names(f"{group}.apt") for group in DEB_GROUPS}

    def layer(self, layer: PipLayerDefinition) -> tuple[str, ...]:
        """Return what is asked for in a pip layer."""
        own = self.names(layer.requirements.rpartition("/")[2])
        return (*own, *self.names(UPSTREAM)) if layer.name == RUNTIME else own

    def unresolved(self, layer: PipLayerDefinition) -> tuple[Pin, ...]:
        """Return what joins a pip layer as it is, without being resolved."""
        return pins("\n".join(self.names(UNRESOLVED))) if layer.name == RUNTIME else ()

    @property
    def sources(self) -> Mapping[str, Version]:
        """Return the distributions that are compiled from their sdist."""
        packages = {canonicalize_name(name): row for name, row in self.cell.packages.items()}
        declared = (canonicalize_name(name) for name in self.names(SOURCES))
        return {name: packages[name] for name in declared if name in packages}

    @property
    def trees(self) -> Mapping[str, SourceDefinition]:
        """Return the source trees that the cell holds, as image.yaml declares them."""
        return self.image.sources if self.cell.holds_upstream else {}

    @property
    def without_source(self) -> tuple[str, ...]:
        """Return the packages of the cell that no list and no source tree brings."""
        listed = {
            *self.sources,
            *map(canonicalize_name, self.trees),
            *(canonicalize_name(name) for name in self.names(UPSTREAM)),
        }
        return tuple(
            name for name in sorted(self.cell.packages) if canonicalize_name(name) not in listed
        )

    def version(self, name: str) -> str:
        """Return what the matrix calls a source tree's version, else one that names its commit.

        It is the version of the wheel: a tree that was never released has no number of its own.
        """
        version = self.cell.packages.get(name)
        return str(version) if version else f"0+{self.trees[name].commit[:12]}"

    @property
    def tree_artifacts(self) -> tuple[Artifact, ...]:
        """Return the locked form of the source trees: image.yaml knows their hashes."""
        return tuple(
            Artifact(
                kind=ArtifactKind.SOURCE,
                name=name,
                version=self.version(name),
                filename=f"{name}-{source.commit}.tar",
                sha256=source.sha256,
                size=source.size,
                channel="git",
                location=f"{source.url}/archive/{source.commit}.tar.gz",
                tree=source.tree,
            )
            for name, source in self.trees.items()
        )

    def unlocked(self, name: str, reason: str) -> Unlocked:
        """Return the row of a package that nothing brings."""
        return Unlocked(
            kind=ArtifactKind.SOURCE,
            name=name,
            version=self.version(name),
            channel="git",
            reason=reason,
        )

    @property
    def decided(self) -> Mapping[str, Version]:
        """Return the version of every distribution that the matrix decides."""
        rows = {"torch": self.cell.torch, **self.cell.packages, **self.cell.pins}
        return {canonicalize_name(name): version for name, version in rows.items()}

    @property
    def constraints(self) -> str:
        """Return the versions that the matrix decides, as pip's constraints."""
        return "".join(
            f"{name}=={version}\n"
            for name, version in sorted(self.decided.items())
            if name not in self.sources
        )


def requirement_names(image: ImageDefinition, cell: Cell) -> tuple[str, ...]:
    """Return the names of the lists that a cell is made from, by which a Definition holds them."""
    layers = (layer.requirements.rpartition("/")[2] for layer in image.layers)
    lists = [SOURCES, UNRESOLVED]
    lists += [UPSTREAM] if cell.holds_upstream else []
    lists += [QUOTED] if isinstance(cell.base, RegistryBase) else []
    return (*(f"{group}.apt" for group in DEB_GROUPS), *layers, *lists)


def requirement_file(name: str, cell: str, present: Iterable[str]) -> str:
    """Return which file holds the list `name` (torch.in) for a cell: its own one comes first."""
    stem, _, ending = name.rpartition(".")
    own = f"{stem}.{cell}.{ending}"
    return own if own in set(present) else name


def choose(pin: Pin, candidates: Iterable[Candidate], tags: tuple[Tag, ...]) -> Candidate:
    """Return the one wheel for a pin that the cell's pip would take.

    None, or one name that stands for different bytes on two indexes, is a DataError.
    """
    offered = tuple(candidates)
    best = best_wheel(offered, tags)
    if best is None:
        message = f"{pin.name}=={pin.version}: the index has no wheel that the cell can install"
        raise DataError(message, hint="pin another version in requirements/, with the reason")
    return _agreed(best, offered)


def rebuild_layer(distribution: str) -> str:
    """Return the name of the pip layer that a distribution is compiled anew with."""
    return f"{_REBUILD}{canonicalize_name(distribution)}"


def choose_sdist(name: str, version: Version, candidates: Iterable[Candidate]) -> Candidate:
    """Return the sdist of a distribution; none is a DataError."""
    offered = [candidate for candidate in candidates if _is_sdist(candidate)]
    found = {candidate.filename: candidate for candidate in offered}
    if not found:
        message = f"{name}=={version}: the index has no sdist of it"
        raise DataError(message, hint="check the version in matrix.yaml")
    best = min(found, key=lambda filename: (not filename.endswith(".tar.gz"), filename))
    return _agreed(found[best], offered)


def _agreed(chosen: Candidate, offered: Iterable[Candidate]) -> Candidate:
    """Return `chosen`, with its hash where any index states one, if no other contradicts it."""
    same = [candidate for candidate in offered if candidate.filename == chosen.filename]
    stated = {candidate.sha256 for candidate in same if candidate.sha256}
    if len(stated) > 1:
        message = f"{chosen.filename}: this host's indexes have different files of that name"
        hint = "sha256 " + ", ".join(sorted(stated)) + "; take the wrong index out of pip's config"
        raise DataError(message, hint=hint)
    return min(same, key=lambda candidate: (not candidate.sha256, candidate.url))


def _is_sdist(candidate: Candidate) -> bool:
    try:
        parse_sdist_filename(candidate.filename)
    except InvalidSdistFilename:
        return False
    return True


def artifact(
    name: str, version: str, candidate: Candidate, *, measured: tuple[str, int]
) -> Artifact:
    """Return the locked form of a chosen file, `measured` as its sha256 and its size in bytes.

    No mirror's name is in it. A version with a local label (2.13.0+cpu) is torch's own build,
    which torch's index serves.
    """
    label = Version(version).local
    wheel = candidate.filename.endswith(".whl")
    plain = Artifact(
        kind=ArtifactKind.WHEEL if wheel else ArtifactKind.SDIST,
        name=canonicalize_name(name),
        version=version,
        filename=candidate.filename,
        sha256=measured[0],
        size=measured[1],
        channel="package-index",
    )
    if label is None:
        return plain
    location = f"{_TORCH_INDEX}/{label}/{quote(candidate.filename)}"
    return replace(plain, channel="torch-index", location=location)


def locked_pin(pin: Pin, chosen: Artifact) -> Pin:
    """Return a pin with the one hash of the chosen file, and origins as people know them."""
    origins = (
        _origin(origin)
        for origin in pin.via
        for origin in origin.split(", ")
        if not origin.startswith("-c ")
    )
    return replace(pin, hashes=(chosen.sha256,), via=tuple(sorted(set(origins))))


def _origin(text: str) -> str:
    """Return the list that asked for something as a place of the repository, else `text`."""
    if not text.startswith("-r "):
        return text
    name = text.removeprefix("-r ")
    return "matrix.yaml" if name.startswith(_REBUILD) else f"requirements/{name}"
