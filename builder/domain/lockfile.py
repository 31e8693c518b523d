"""The lock: every input of one cell, complete, by hash."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.domain.artifact import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class PipLayer:
    """Distributions that are installed together and become one image layer.

    `name` is the layer's name (`torch`, `runtime`, `build`, ...); `requirements` the text that
    pip-compile wrote, with hashes.
    """

    name: str
    requirements: str
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedImage:
    """What a rebuild must give, for one ISA level and one target."""

    isa: str
    target: str
    digest: str
    diff_ids: tuple[str, ...]
    engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All inputs of one cell; `cell_digest` ties it to the cell's definition in the matrix."""

    image: str
    cell: str
    cell_digest: str
    epoch: int
    base: Artifact | None  # None: the base is assembled from `debs["essential"]` and `["base"]`
    debs: Mapping[str, tuple[Artifact, ...]]  # essential, base, toolchain
    pip: tuple[PipLayer, ...]
    sources: tuple[Artifact, ...] = ()
    expected: tuple[ExpectedImage, ...] = field(default=())

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return every input once, in a fixed order."""
        seen: dict[str, Artifact] = {}
        groups = (
            (self.base,) if self.base else (),
            *(self.debs[group] for group in sorted(self.debs)),
            *(layer.artifacts for layer in self.pip),
            self.sources,
        )
        for group in groups:
            for artifact in group:
                seen.setdefault(artifact.sha256, artifact)
        return tuple(seen.values())
