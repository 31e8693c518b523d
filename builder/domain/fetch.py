"""What a fetch is about: where inputs may lie, what is missing, and whether the disk holds it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.progress import Progress
from builder.errors import CellarError

# Bytes on disk once installed, for each byte of download: measured over the cpu cell's inputs
# (`cellar fetch --json` against the files of its image) and rounded up.
UNPACKED_RATIO: Mapping[ArtifactKind, float] = {
    ArtifactKind.WHEEL: 4.2,
    ArtifactKind.SDIST: 5.0,
    ArtifactKind.DEB: 4.5,
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
    """Where an artifact may be fetched from, best first; `problem` says why that is nowhere."""

    locations: tuple[Location, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One artifact to download, and where from."""

    artifact: Artifact
    locations: tuple[Location, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlan:
    """What a fetch will move: all sizes in bytes; `unsized` inputs have a size nobody knows yet."""

    present: int
    missing: tuple[Artifact, ...]
    download: int
    unsized: int
    unpacked: int


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


class Disk(Protocol):
    """Says how much room there is."""

    def free(self, path: Path) -> tuple[str, int]:
        """Return a name for the file system that holds `path`, and its free bytes."""
        ...


def plan(artifacts: Iterable[Artifact], sizes: Mapping[str, int | None]) -> FetchPlan:
    """Say what is missing; `sizes` gives the bytes already stored under each sha256, or None."""
    wanted = {artifact.sha256: artifact for artifact in artifacts}
    missing = tuple(one for one in wanted.values() if sizes.get(one.sha256) is None)
    everything = sum(_unpacked(one, sizes.get(one.sha256)) for one in wanted.values())
    return FetchPlan(
        present=len(wanted) - len(missing),
        missing=missing,
        download=sum(one.size or 0 for one in missing),
        unsized=sum(one.size is None for one in missing),
        unpacked=everything,
    )


def _unpacked(artifact: Artifact, stored: int | None) -> int:
    size = artifact.size if artifact.size is not None else stored
    return int((size or 0) * UNPACKED_RATIO[artifact.kind])
