"""What an image is, apart from its cells: names, sources, layers and entry points."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PipLayerDefinition:
    """Distributions that are locked and installed together.

    `requirements` is the path of the top-level names, relative to the image's folder; `stage` is
    `runtime` (a layer of the image) or `toolchain` (only where the ops are compiled).
    """

    name: str
    requirements: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDefinition:
    """An upstream source tree, by commit and by the git hash of its tree.

    `sha256` and `size` (bytes) are those of the canonical tar of the tree, which Cellar makes of
    any archive of the commit.
    """

    url: str
    commit: str
    tree: str
    sha256: str
    size: int
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsDefinition:
    """A published checkpoint; `size` is in bytes, None while only quoted."""

    url: str
    sha256: str
    size: int | None
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDefinition:
    """One image.yaml; `epoch` is SOURCE_DATE_EPOCH, in seconds.

    `not_after` (ISO 8601) is the time fence of its locks: what was uploaded to a package index
    later does not exist for them.
    """

    name: str
    title: str
    description: str
    authors: str
    licences: str  # an SPDX expression
    documentation: str
    epoch: int
    user: int
    workdir: str
    prefix: str
    entry_points: tuple[str, ...]
    layers: tuple[PipLayerDefinition, ...]
    sources: Mapping[str, SourceDefinition]
    weights: Mapping[str, WeightsDefinition]
    not_after: str = ""
