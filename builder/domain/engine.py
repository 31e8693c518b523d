"""What a container engine must do for Cellar; Docker and buildah are the two real ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from builder.domain.image import ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build: a Dockerfile, one of its targets, and the named contexts that it may read.

    `contexts` maps a context name to a directory of the host, or to an OCI layout where the
    directory holds an `oci-layout` file. No build has a network.
    """

    dockerfile: Path
    target: str
    contexts: Mapping[str, Path]
    arguments: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    epoch: int


class Engine(Protocol):
    """Builds, runs and inspects images."""

    @property
    def name(self) -> str:
        """Return `docker` or `buildah`."""
        ...

    def version(self) -> str:
        """Return the versions that decide the bytes of an image, as one line."""
        ...

    def build_image(
        self, request: BuildRequest, *, tag: str, on_line: Callable[[str], None]
    ) -> ImageRef:
        """Build an image, keep it in the engine under `tag`, and return its digest."""
        ...

    def build_files(
        self, request: BuildRequest, *, into: Path, on_line: Callable[[str], None]
    ) -> None:
        """Build a target and write its files into the directory `into`."""
        ...

    def find(self, tag: str) -> ImageRef | None:
        """Return what `tag` names in this engine, or None."""
        ...

    def run(
        self,
        image: ImageRef,
        argv: Sequence[str],
        *,
        mounts: Mapping[Path, PurePosixPath] | None = None,
        network: bool = False,
    ) -> str:
        """Run `argv` in a fresh container of `image` and return its stdout."""
        ...

    def save(self, image: ImageRef, *, into: Path) -> None:
        """Write `image` as an OCI layout into the directory `into`."""
        ...
