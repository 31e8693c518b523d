"""An engine, a store and contexts that exist in memory, for tests of the commands."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.adapters.data.datafiles import load_image, load_matrix
from builder.commands.build import Order, Tools
from builder.commands.render import plain
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.comparison import ImageFacts
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.domain.lockfile import Lock, PipLayer
from builder.domain.recipe import Compiler, Recipe, recipe

ROOT = Path(__file__).parents[3]
EPOCH = 5


def sha(text: str) -> str:
    """Return a sha256 that stands for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def artifact(name: str, kind: ArtifactKind = ArtifactKind.WHEEL, size: int = 10) -> Artifact:
    """Return a locked input of version 1."""
    return Artifact(
        kind=kind,
        name=name,
        version="1",
        filename=f"{name}-1.whl",
        sha256=sha(name),
        size=size,
        channel="package-index",
    )


LOCK = Lock(
    image="bevformer",
    cell="cpu",
    cell_digest="sha256:" + sha("cell"),
    epoch=EPOCH,
    base=None,
    debs={group: (artifact(group, ArtifactKind.DEB),) for group in ("essential", "toolchain")},
    pip=tuple(
        PipLayer(name=name, requirements="", artifacts=(artifact(f"in-{name}"),))
        for name in ("torch", "runtime", "build")
    ),
    sources=(artifact("mmcv-full", ArtifactKind.SDIST),),
)


def order(lock: Lock = LOCK) -> Order:
    """Return the cell `cpu` with a small lock."""
    image = load_image(ROOT / "images" / "bevformer" / "image.yaml")
    matrix = load_matrix(ROOT / "images" / "bevformer" / "matrix.yaml")
    compiler = Compiler(gcc=12, host_flags=("-march=x86-64",), nvcc_flags=())
    return Order(recipe=recipe(image, plain(matrix, "cpu"), compiler, lock), lock=lock)


@dataclass
class FakeStore:
    """Holds every input of the lock but those in `lacks`."""

    lacks: Collection[str] = ()
    wheels: dict[str, Path] = field(default_factory=dict)
    root: Path = Path("/store")

    def has(self, sha256: str) -> bool:
        return sha256 not in {sha(name) for name in self.lacks}

    def op_wheel(self, key: str) -> Path | None:
        return self.wheels.get(key)

    def add_op_wheel(self, key: str, path: Path) -> Path:
        return self.wheels.setdefault(key, path)

    @contextmanager
    def lease(self, digests: Iterable[str]) -> Iterator[None]:
        assert set(digests) >= {one.sha256 for one in LOCK.artifacts()}
        yield

    def size(self, sha256: str) -> int | None:
        raise AssertionError(sha256)

    def path(self, artifact: Artifact) -> Path:
        raise AssertionError(artifact)

    def add_file(self, path: Path, artifact: Artifact) -> None:
        raise AssertionError(path, artifact)

    def link_into(self, artifact: Artifact, folder: Path) -> Path:
        raise AssertionError(artifact, folder)

    def note_complete(self, name: str, digests: Iterable[str]) -> None:
        raise AssertionError(name, digests)


@dataclass
class FakeContexts:
    """Contexts that exist by name only; op wheels are real small files."""

    evaluator: str = "one"

    def tree_digests(self, image: str) -> Mapping[str, str]:
        assert image == "bevformer"
        return {"steps": "s", "rootfs": "r", "evaluator": self.evaluator}

    def write(self, recipe: Recipe, lock: Lock, into: Path) -> Mapping[str, Path]:
        assert lock.pip
        return {name: into / name for name in recipe.contexts if name != "ops"}

    def write_text(self, text: str, path: Path) -> Path:
        assert text.startswith("FROM")
        return path

    def write_ops(self, wheels: Iterable[Path], into: Path) -> Path:
        assert all(wheel.is_file() for wheel in wheels)
        return into

    def wheels(self, folder: Path) -> Mapping[str, Path]:
        return {path.name.split("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


@dataclass
class FakeEngine:
    """Builds images whose digest is given, and op wheels with given bytes."""

    builds: list[BuildRequest] = field(default_factory=list)
    images: dict[str, ImageRef] = field(default_factory=dict)
    digests: Sequence[str] = ("image",)
    wheel: bytes | None = b"wheel"
    name: str = "fake"

    def version(self) -> str:
        return f"{self.name} 1"

    def build_image(self, request: BuildRequest, *, tag: str, progress: object) -> ImageRef:
        assert progress is not None
        self.builds.append(request)
        made = sum(build.target == request.target for build in self.builds)
        digest = self.digests[min(made, len(self.digests)) - 1]
        self.images[tag] = ImageRef(tag=tag, digest=f"sha256:{sha(digest)}")
        return self.images[tag]

    def build_files(self, request: BuildRequest, *, into: Path, progress: object) -> None:
        assert progress is not None
        self.builds.append(request)
        into.mkdir(parents=True)
        if self.wheel is not None:
            name = request.target.removeprefix("op-").replace("-", "_")
            (into / f"{name}-1-cp311-cp311-linux_x86_64.whl").write_bytes(self.wheel)

    def find(self, tag: str) -> ImageRef | None:
        return self.images.get(tag)

    def remove(self, tag: str) -> None:
        del self.images[tag]

    def run(self, image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
        raise AssertionError(image, argv, options)

    def save(self, image: ImageRef, *, into: Path) -> None:
        into.mkdir(parents=True)
        (into / "digest").write_text(image.digest)


class Silence:
    """Listens to nothing."""

    def task(self, *_: object, **__: object) -> "Silence":
        return self

    def say(self, _: str) -> None: ...

    def advance(self, _: int) -> None: ...

    def describe(self, _: str) -> None: ...

    def finish(self) -> None: ...


def tools(work: Path, **parts: object) -> Tools:
    """Return fakes, `parts` of them chosen by the test."""
    made = Tools(
        store=FakeStore(),
        engine=FakeEngine(),
        contexts=FakeContexts(),
        dockerfile=lambda _: "FROM toolchain AS ops-build\nFROM scratch AS ops\nFROM packages\n",
        progress=Silence(),
        work=work,
    )
    return replace(made, **parts)  # type: ignore[arg-type]


def facts(digest: str, *diff_ids: str) -> ImageFacts:
    """Return an image of these layers."""
    sizes = tuple(1 for _ in diff_ids)
    return ImageFacts(digest=digest, layers=diff_ids, sizes=sizes, diff_ids=diff_ids, config={})
