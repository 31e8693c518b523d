"""The lock: every input of one cell, complete, by hash."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.tables import Rebuild
from builder.errors import DataError

# What a base that is assembled from .debs is made of, in the order of installation.
BASE_GROUPS = ("essential", "base")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipLayer:
    """Distributions that are installed together and become one image layer.

    `name` is the layer's name (`torch`, `runtime`, `build`, ...); `requirements` the pins with
    hashes, as pip reads them: exactly one hash for each distribution.
    """

    name: str
    requirements: str
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildInputs:
    """What the wheel of one distribution is compiled anew from, where an ISA level asks for it.

    `layer` is installed in the stage that compiles `sdist` alone, as `requirements` asked for it.
    """

    sdist: Artifact
    requirements: tuple[str, ...]
    layer: PipLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedImage:
    """What a rebuild must give, for one ISA level, one target and one choice of GPUs.

    `gpu` is empty where the ops are compiled for all GPUs of the cell, else a list as `8.6;9.0`.
    `key` is the hash of all inputs that gave it: for other inputs it says nothing.
    """

    isa: str
    target: str
    key: str
    digest: str
    diff_ids: tuple[str, ...]
    engine: str
    gpu: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """An input that is declared but has no hash, because its channel could not be reached."""

    kind: ArtifactKind
    name: str
    version: str
    channel: str
    reason: str


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
    sources: tuple[Artifact, ...] = ()  # sdists whose ops are compiled, archives of git commits
    rebuilds: tuple[RebuildInputs, ...] = ()  # in a build: those that it compiles
    unlocked: tuple[Unlocked, ...] = ()
    expected: tuple[ExpectedImage, ...] = field(default=())

    @property
    def folder(self) -> str:
        """Return where this lock lies in the repository."""
        return f"lock/{self.image}/{self.cell}"

    @property
    def absent(self) -> tuple[Unlocked, ...]:
        """Return the sources without a hash: an image is built without them, and says so."""
        return tuple(one for one in self.unlocked if one.kind is ArtifactKind.SOURCE)

    @property
    def gaps(self) -> tuple[Unlocked, ...]:
        """Return the other inputs without a hash: no image can be built before they have one."""
        return tuple(one for one in self.unlocked if one.kind is not ArtifactKind.SOURCE)

    def held(self, has: Callable[[str], bool]) -> "Lock":
        """Return this lock without the source trees that a store lacks: they become `absent`.

        `has` says whether the store holds a sha256.
        """
        lacking = [
            source
            for source in self.sources
            if source.kind is ArtifactKind.SOURCE and not has(source.sha256)
        ]
        rows = tuple(
            Unlocked(
                kind=source.kind,
                name=source.name,
                version=source.version,
                channel=source.channel,
                reason="it is not in the store",
            )
            for source in lacking
        )
        kept = tuple(source for source in self.sources if source not in lacking)
        return replace(self, sources=kept, unlocked=(*self.unlocked, *rows))

    def rebuilding(self, wanted: Sequence[Rebuild]) -> "Lock":
        """Return this lock as a build reads it that compiles the wheels of `wanted` anew.

        They are out of their layers; their sdists and what compiles them are among the inputs, and
        those of no other rebuild. DataError where the lock has none, or for other requirements.
        """
        have = {(one.sdist.name, one.sdist.version): one for one in self.rebuilds}
        keys = {(one.distribution, str(one.version)): one for one in wanted}
        lacking = [
            str(one)
            for key, one in keys.items()
            if key not in have or have[key].requirements != one.requirements
        ]
        if lacking:
            message = f"{self.folder} does not hold what compiles {' and '.join(lacking)} anew"
            raise DataError(message, hint=f"`make lock CELL={self.cell}` adds it")
        chosen = tuple(have[key] for key in keys)
        layers = tuple(
            replace(
                layer,
                artifacts=tuple(
                    one for one in layer.artifacts if (one.name, one.version) not in keys
                ),
            )
            for layer in self.pip
        )
        return replace(
            self,
            pip=(*layers, *(one.layer for one in chosen)),
            sources=(*self.sources, *(one.sdist for one in chosen)),
            rebuilds=chosen,
        )

    def layer(self, name: str) -> PipLayer:
        """Return the pip layer of this name; KeyError where the lock has none."""
        for layer in self.pip:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def source(self, name: str) -> Artifact:
        """Return the source of this name; KeyError where the lock has none."""
        for source in self.sources:
            if source.name == name:
                return source
        raise KeyError(name)

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return every input once, in a fixed order."""
        seen: dict[str, Artifact] = {}
        groups = (
            (self.base,) if self.base else (),
            *(self.debs[group] for group in sorted(self.debs)),
            *(layer.artifacts for layer in self.pip),
            self.sources,
            *((one.sdist, *one.layer.artifacts) for one in self.rebuilds),
        )
        for group in groups:
            for artifact in group:
                seen.setdefault(artifact.sha256, artifact)
        return tuple(seen.values())
