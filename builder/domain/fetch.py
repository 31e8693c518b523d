"""What a fetch is about: where inputs may lie, what is missing, and whether the disk holds it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.progress import Progress
from builder.domain.store import Store
from builder.errors import CellarError, NetworkError

# Bytes on disk once installed, for each byte of download. Wheels and .debs: measured over the cpu
# cell's inputs (3.44 and 4.04), rounded up; the others are estimates.
UNPACKED_RATIO: Mapping[ArtifactKind, float] = {
    ArtifactKind.WHEEL: 3.6,
    ArtifactKind.SDIST: 5.0,
    ArtifactKind.DEB: 4.2,
    ArtifactKind.IMAGE: 1.0,
    ArtifactKind.LAYER: 2.2,
    ArtifactKind.SOURCE: 4.0,
    ArtifactKind.WEIGHTS: 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One place where an input may lie.

    `url` may hold a credential or a private host, so it is never shown; `label` is (`the package
    index`, a public URL). `registry` says that the place wants an anonymous token.
    """

    url: str = field(repr=False)
    label: str
    registry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where an artifact may be fetched from, best first.

    `problem` says why that is nowhere; `gone` that its channel answered and has it no more.
    """

    locations: tuple[Location, ...] = ()
    problem: str = ""
    gone: bool = False


class GoneError(NetworkError):
    """An input that its channel, which answered, no longer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One artifact to download, and where from."""

    artifact: Artifact
    locations: tuple[Location, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """What a fetch will move.

    `download` is exact and in bytes, but for the `unsized` inputs, whose size is only known when
    they come; `unpacked` is what the missing inputs take once installed, estimated.
    """

    present: int
    missing: tuple[Artifact, ...]
    download: int
    unsized: int
    unpacked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The free bytes at `path`; paths on one file system have the same `disk`."""

    path: Path
    disk: int
    free: int


class Finder(Protocol):
    """Says where artifacts lie, by the host's own configuration."""

    def locate(self, artifacts: Sequence[Artifact], progress: Progress) -> Mapping[str, Found]:
        """Return where each artifact (by sha256) lies on hosts that answer."""
        ...


class Downloader(Protocol):
    """Brings artifacts into the store."""

    def download(self, jobs: Sequence[Job], progress: Progress) -> Mapping[str, CellarError]:
        """Fetch all jobs; return why some failed, by sha256. A full disk ends it: StorageError."""
        ...


class Importer(Protocol):
    """Knows the files of a folder by their sha256."""

    def find(self, wanted: Sequence[Artifact], progress: Progress) -> Mapping[str, Path]:
        """Return the file that has each wanted sha256, for those that are there."""
        ...


class Disk(Protocol):
    """Says how much room there is."""

    def room(self, path: Path) -> Room:
        """Return how much the file system takes that holds (or will hold) `path`."""
        ...


def plan(artifacts: Iterable[Artifact], store: Store) -> FetchPlan:
    """Say what is missing of `artifacts` in `store`."""
    wanted = {artifact.sha256: artifact for artifact in artifacts}
    missing = tuple(one for sha256, one in wanted.items() if not store.has(sha256))
    return FetchPlan(
        present=len(wanted) - len(missing),
        missing=missing,
        download=sum(one.size or 0 for one in missing),
        unsized=sum(one.size is None for one in missing),
        unpacked=sum(int((one.size or 0) * UNPACKED_RATIO[one.kind]) for one in missing),
    )


def shortages(plan: FetchPlan, *, store: Room, engine: Room) -> list[str]:
    """Say on which disk the plan does not fit; the store and the engine may share one."""
    needs = [(store, plan.download), (engine, plan.unpacked)]
    if store.disk == engine.disk:
        needs = [(store, plan.download + plan.unpacked)]
    return [
        f"{room.path} needs about {readable(need)} and has {readable(room.free)} free"
        for room, need in needs
        if need > room.free
    ]


def readable(size: int) -> str:
    """Write a number of bytes for people, in powers of 1000."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
