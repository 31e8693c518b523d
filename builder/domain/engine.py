"""What a container engine must do for Cellar; Docker and buildah are the two real ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from builder.domain.image import ImageRef
from builder.domain.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build: a Dockerfile, one of its targets, and the named contexts that it may read.

    `contexts` maps a context name to a directory of the host, or to an OCI layout where the
    directory holds an `oci-layout` file; a context takes the place of a stage of its name. No
    build has a network. `epoch` (seconds) is the time of the image; a `cold` build takes nothing
    from the engine's cache; `annotations` stand in the image's manifest; `jobs` bounds how many
    compilers run at once, 0 leaves it to the step.
    """

    dockerfile: Path
    target: str
    contexts: Mapping[str, Path]
    epoch: int
    cold: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 0

    @property
    def arguments(self) -> Mapping[str, str]:
        """Return the arguments of the Dockerfile; only the epoch decides a byte."""
        found = {"SOURCE_DATE_EPOCH": str(self.epoch)}
        found |= {"COLD": "1"} if self.cold else {}
        return found | ({"JOBS": str(self.jobs)} if self.jobs else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a container is started; by default it has no network and no more than the image says.

    `mounts` maps directories of the host to places in the container, read-only unless the place
    is in `writable`. `user` is `uid:gid`, empty for the image's own.
    """

    user: str = ""
    read_only: bool = False
    tmpfs: tuple[str, ...] = ()
    mounts: Mapping[Path, str] = field(default_factory=dict)
    writable: frozenset[str] = frozenset()
    network: bool = False


class Engine(Protocol):
    """Builds, runs and inspects images."""

    @property
    def name(self) -> str:
        """Return `docker` or `buildah`."""
        ...

    def version(self) -> str:
        """Return the versions that decide the bytes of an image, as one line.

        EngineError where the engine is absent, too old or not set up as Cellar needs it.
        """
        ...

    def build_image(self, request: BuildRequest, *, tag: str, progress: Progress) -> ImageRef:
        """Build an image, keep it in the engine under `tag`, and return its digest."""
        ...

    def build_files(self, request: BuildRequest, *, into: Path, progress: Progress) -> None:
        """Build a target and write its files into the directory `into`."""
        ...

    def find(self, tag: str) -> ImageRef | None:
        """Return what `tag` names in this engine, or None."""
        ...

    def remove(self, tag: str) -> None:
        """Take the name `tag` from its image, and with the last name its space."""
        ...

    def run(self, image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
        """Run `argv` in a fresh container of `image` and return its stdout; remove the container.

        A failure is an EngineError with the last lines that the program printed.
        """
        ...

    def save(self, image: ImageRef, *, into: Path) -> None:
        """Write `image` as an OCI layout into the new directory `into`."""
        ...
