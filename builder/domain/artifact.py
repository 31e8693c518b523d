"""Locked inputs: whatever may enter an image, each by its sha256."""

import re
from dataclasses import dataclass
from enum import StrEnum

from builder.errors import DataError

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactKind(StrEnum):
    """What an input is, which decides where a fetch looks for it."""

    WHEEL = "wheel"  # a package index
    SDIST = "sdist"  # a package index
    DEB = "deb"  # a distribution mirror
    IMAGE = "image"  # an image registry, by manifest digest
    LAYER = "layer"  # an image registry, by blob digest: what a manifest names
    SOURCE = "source"  # a git host: an archive of one commit
    WEIGHTS = "weights"  # a release file


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One locked input.

    `channel` names where it comes from (`package-index`, `debian`, `torch-index`, `registry`,
    `git`); `location` is the path inside that channel (a .deb's pool path) or a full URL for a
    channel that is one public host; never a mirror's host. `size` is in bytes, None while only
    quoted. `quoted` says that the hash was read in a publication and no fetch has confirmed it.
    `architecture` is a .deb's (`amd64` or `all`), empty for other kinds. `tree` is git's hash of a
    source tree, whose `sha256` is that of its canonical tar, whatever archive brings it.
    """

    kind: ArtifactKind
    name: str
    version: str
    filename: str
    sha256: str
    size: int | None
    channel: str
    location: str = ""
    quoted: bool = False
    architecture: str = ""
    tree: str = ""

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            message = f"{self.filename}: {self.sha256!r} is not a sha256"
            raise DataError(message, hint="make the lock anew: `make lock`")
