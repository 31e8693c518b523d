"""`build`: from a lock and a filled store to an image, without network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name

from builder.domain.artifact import Artifact
from builder.domain.build_keys import image_key, op_key
from builder.domain.engine import BuildRequest, Engine
from builder.domain.image import ImageRef
from builder.domain.lockfile import Lock, Unlocked
from builder.domain.progress import Progress
from builder.domain.recipe import Recipe, sources_of
from builder.domain.store import Store
from builder.domain.wheel_tags import is_wheel_of, tags_of
from builder.errors import EngineError, IntegrityError, NetworkError


class Contexts(Protocol):
    """Lays out the named contexts of a build."""

    def tree_digests(self, image: str) -> Mapping[str, str]:
        """Return the digests of the contexts that come from the checkout, by context."""
        ...

    def write(self, recipe: Recipe, lock: Lock, into: Path) -> Mapping[str, Path]:
        """Lay out every context below `into`, and return where each lies."""
        ...

    def write_text(self, text: str, path: Path) -> Path:
        """Write a file, such as the Dockerfile, and return its path."""
        ...

    def write_ops(self, wheels: Iterable[Path], into: Path) -> Path:
        """Make `into` hold exactly these wheels, and return it."""
        ...

    def wheels(self, folder: Path) -> Mapping[str, Path]:
        """Return the wheels of a folder by the normalised name of their distribution."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a build works with; `work` is the directory that it may fill."""

    store: Store
    engine: Engine
    contexts: Contexts
    dockerfile: Callable[[Recipe], str]
    progress: Progress
    work: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build: one target of a recipe.

    `cold` takes nothing from the engine's cache; `compile` makes op wheels although some are kept;
    `jobs` compilers run at once, as many as this machine bears where it is 0.
    """

    recipe: Recipe
    lock: Lock
    target: str = "runtime"
    cold: bool = False
    compile: bool = False
    jobs: int = 0
    suffix: str = ""  # of the tag

    @property
    def tag(self) -> str:
        """Return what people call the image."""
        target = "" if self.target == "runtime" else f"-{self.target}"
        name = f"{self.recipe.selection.variant}{target}{self.suffix}"
        return f"cellar/{self.recipe.image.name}:{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image, the key of all its inputs, and its op wheels by key; `compiled` are new ones.

    `absent` are the declared sources that the image comes without.
    """

    image: ImageRef
    key: str
    compiled: tuple[str, ...]
    wheels: Mapping[str, Path]
    absent: tuple[Unlocked, ...] = ()


def key_of(order: Order, tools: Tools) -> str:
    """Return the hash of all that goes into the image of `order`, building nothing."""
    trees = tools.contexts.tree_digests(order.recipe.image.name)
    text = tools.dockerfile(order.recipe)
    return image_key(order.recipe, order.lock, dockerfile=text, target=order.target, trees=trees)


def op_keys(order: Order, tools: Tools) -> Mapping[Artifact, str]:
    """Return the key of the op wheel of each source that `order` compiles."""
    trees = tools.contexts.tree_digests(order.recipe.image.name)
    text = tools.dockerfile(order.recipe)
    return {
        source: op_key(source, order.recipe, order.lock, dockerfile=text, trees=trees)
        for source in sources_of(order.recipe.cell, order.lock)
    }


def build(order: Order, tools: Tools) -> Built:
    """Build one image from what the store holds; sources without a hash are left out.

    Other inputs without one, or that the store lacks, are a NetworkError before anything starts;
    a failing step is an EngineError with its last lines and the command that runs it again.
    """
    check_inputs(order, tools.store)
    recipe, lock = order.recipe, order.lock
    dockerfile = tools.contexts.write_text(tools.dockerfile(recipe), tools.work / "Dockerfile")
    key, keys = key_of(order, tools), op_keys(order, tools)  # before an edit under way can differ
    with tools.store.lease(artifact.sha256 for artifact in lock.artifacts()):
        contexts = tools.contexts.write(recipe, lock, tools.work / "contexts")
        request = BuildRequest(
            dockerfile=dockerfile,
            target=order.target,
            contexts=contexts,
            epoch=recipe.image.epoch,
            cold=order.cold,
            jobs=order.jobs,
        )
        wheels = {} if order.compile else _kept(order, keys, tools.store)
        lacking = {source: key for source, key in keys.items() if source not in wheels}
        for source, op in lacking.items():
            wheel = _compile(source, request, tools)
            wheels[source] = wheel if order.compile else tools.store.add_op_wheel(op, wheel)
        ops = tools.contexts.write_ops(wheels.values(), tools.work / "contexts" / "ops")
        request = replace(
            request, contexts={**contexts, "ops": ops}, annotations=recipe.annotations
        )
        image = tools.engine.build_image(request, tag=order.tag, progress=tools.progress)
    return Built(
        image=image,
        key=key,
        compiled=tuple(lacking.values()),
        wheels={key: wheels[source] for source, key in keys.items()},
        absent=lock.absent,
    )


def check_inputs(order: Order, store: Store) -> None:
    """Raise a NetworkError that names the inputs which have no hash, or which the store lacks."""
    _refuse_unlocked(order.lock)
    _refuse_missing(order, store)


def kept_wheels(order: Order, tools: Tools) -> Mapping[str, Path]:
    """Return the op wheels that the store has for `order`, by the name of their source."""
    kept = _kept(order, op_keys(order, tools), tools.store)
    return {source.name: path for source, path in kept.items()}


def _refuse_unlocked(lock: Lock) -> None:
    if lock.gaps:
        reasons = dict.fromkeys(one.reason for one in lock.gaps)
        names = _some([f"{one.name} {one.version}" for one in lock.gaps])
        message = f"{lock.cell}: the lock has no hash of {names}: {'; '.join(reasons)}"
        hint = f"`cellar lock --cell {lock.cell}` where they can be reached"
        raise NetworkError(message, hint=hint)


def _refuse_missing(order: Order, store: Store) -> None:
    missing = [artifact for artifact in order.lock.artifacts() if not store.has(artifact.sha256)]
    if missing:
        names = _some([artifact.filename for artifact in missing])
        message = f"{order.lock.cell}: the store lacks {names}"
        select = order.recipe.selection.words
        raise NetworkError(message, hint=f"`cellar fetch {select}` brings what is missing")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _kept(order: Order, keys: Mapping[Artifact, str], store: Store) -> dict[Artifact, Path]:
    """Return the wheels under these keys; an IntegrityError where one was made of something else.

    Nothing in a wheel tells all of its inputs; its name tells distribution, version and Python.
    """
    tags, kept = tags_of(order.recipe.cell), {}
    for source, key in keys.items():
        path = store.op_wheel(key)
        if path is None:
            continue
        if not is_wheel_of(path.name, source.name, source.version, tags):
            what = f"{source.name} {source.version} for cell {order.recipe.cell.id}"
            message = f"op wheel {path.name} stands under the key of {what}, which it is not"
            raise IntegrityError(message, hint=f"remove {path.parent}: it is compiled anew")
        kept[source] = path
    return kept


def _compile(source: Artifact, request: BuildRequest, tools: Tools) -> Path:
    """Build the wheel of one source alone, so that a new source compiles no other again."""
    into = tools.work / "contexts" / "compiled" / source.name  # laid out afresh each time
    request = replace(request, target=f"op-{source.name}")
    tools.engine.build_files(request, into=into, progress=tools.progress)
    made = tools.contexts.wheels(into)
    if canonicalize_name(source.name) not in made:
        message = f"the build of the ops gave no wheel of {source.name}"
        raise EngineError(message, hint=f"look into {into}")
    return made[canonicalize_name(source.name)]
