"""What rendering, building and running images are made of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from builder.adapters.data import datafiles
from builder.adapters.engines import compiler_flags
from builder.adapters.engines.build_context import BuildContexts
from builder.adapters.templates import Renderer
from builder.cli import storage, wiring
from builder.commands.build import Order, Tools, check_inputs
from builder.commands.render import plain
from builder.domain.edits import Edit
from builder.domain.engine import Engine
from builder.domain.lockfile import Lock
from builder.domain.matrix import Matrix
from builder.domain.recipe import Compiler, Recipe
from builder.domain.recipe import recipe as decide
from builder.domain.resolve import Selection
from builder.domain.sealed import seal, sealed_text
from builder.errors import CellarError, NetworkError, UsageError

ENGINES = ("docker", "buildah")


@cache
def renderer() -> Renderer:
    """Return the renderer of this checkout's templates."""
    return Renderer(wiring.root() / "templates")


def dockerfile(recipe: Recipe) -> str:
    """Return the Dockerfile of a recipe."""
    return renderer().dockerfile(recipe)


def recipe(selection: Selection) -> Recipe:
    """Decide what the Dockerfile of a selection is made of, from its lock where there is one."""
    image, cell = wiring.image(selection.image), selection.cell
    locked = wiring.lock_folder(image.name, cell).is_dir()
    return recipe_with(selection, lock_of(selection) if locked else None)


def lock_of(selection: Selection) -> Lock:
    """Return the lock of a selection's cell, with what its ISA level has compiled anew."""
    return wiring.lock(selection.image, selection.cell).rebuilding(selection.rebuilds)


def recipe_with(selection: Selection, lock: Lock | None) -> Recipe:
    """Decide what the Dockerfile of a selection is made of, from this lock."""
    image, known = wiring.image(selection.image), matrix(selection.image)
    compiler = _compiler(known, selection)
    edits = _edits(selection.image)
    decided = decide(image, selection, compiler, lock, edits)
    return replace(decided, passport=sealed_text(seal(image, selection, known.tables, lock)))


def engine(name: str) -> Engine:
    """Return an engine by name; one Cellar does not know is a UsageError."""
    if name == "docker":
        from builder.adapters.engines.docker_engine import DockerEngine  # noqa: PLC0415 - a slow import

        return DockerEngine()
    if name == "buildah":
        from builder.adapters.engines.buildah_engine import BuildahEngine  # noqa: PLC0415

        return BuildahEngine()
    message = f"{name!r} is no engine"
    raise UsageError(message, hint="one of: " + ", ".join(ENGINES))


def order(selection: Selection, *, target: str, cold: bool = False) -> Order:
    """Return what to build for a selection; without a lock it is a DataError.

    Source trees that nobody brought into the store are left out.
    """
    lock = lock_of(selection).held(storage.store().has)
    return Order(recipe=recipe_with(selection, lock), lock=lock, target=target, cold=cold)


def reachable(
    matrix: Matrix, *, target: str, names: Collection[str] = ()
) -> tuple[list[Order], dict[str, CellarError]]:
    """Return the cells whose inputs are all here as orders, and why the others are not.

    The cells are those of these names, or all that a host is offered; an unknown one is a
    UsageError.
    """
    here: list[Order] = []
    absent: dict[str, CellarError] = {}
    for cell in [matrix.cell(name) for name in dict.fromkeys(names)] or matrix.offered:
        try:
            made = order(plain(matrix, cell.id), target=target)
            check_inputs(made, storage.store())
        except CellarError as error:
            absent[cell.id] = error
        else:
            here.append(made)
    return here, absent


def left_out(here: Sequence[Order], absent: Mapping[str, CellarError]) -> int:
    """Return the exit code that `reachable`'s absent cells ask for: 0 where they only lack inputs.

    Where nothing is left to build, it is raised as an error.
    """
    faulty = [error for error in absent.values() if not isinstance(error, NetworkError)]
    if here:
        return max((error.exit_code for error in faulty), default=0)
    if faulty:
        raise faulty[0]
    message = "no cell that was asked for has all its inputs in the store"
    raise NetworkError(message, hint="`cellar fetch` brings them")


def tools(engine_name: str, work: Path) -> Tools:
    """Return what a build works with; `work` is the directory that it may fill."""
    store = storage.store()
    return Tools(
        store=store,
        engine=engine(engine_name),
        contexts=BuildContexts(wiring.root(), store),
        dockerfile=dockerfile,
        progress=wiring.progress(),
        work=work,
    )


def work_folder(order: Order, engine_name: str) -> Path:
    """Return where the contexts of a build are laid out."""
    name = order.tag.rpartition(":")[2]
    return wiring.root() / ".cellar" / "build" / order.recipe.image.name / f"{name}-{engine_name}"


def evidence_path(order: Order, engine_name: str) -> Path:
    """Return where the evidence of a build's image lies; git ignores it."""
    name = order.tag.rpartition(":")[2]
    folder = wiring.root() / ".cellar" / "evidence" / order.recipe.image.name
    return folder / f"{name}-{engine_name}.json"


def note_path(order: Order, engine_name: str) -> Path:
    """Return where a build notes which inputs gave which digest."""
    return work_folder(order, engine_name) / "built.json"


@cache
def _edits(image: str) -> tuple[Edit, ...]:
    path = wiring.root() / "images" / image / "edits.yaml"
    return datafiles.load_edits(path, wiring.image(image), matrix(image))


@cache
def matrix(image: str) -> Matrix:
    """Return the matrix of an image."""
    return datafiles.load_matrix(wiring.root() / "images" / image / "matrix.yaml")


def _compiler(matrix: Matrix, selection: Selection) -> Compiler:
    gcc, cuda = matrix.gcc(selection.cell), selection.cell.cuda
    flags = compiler_flags.compiler_flags(selection.isa, "gcc", f"{gcc}.0")
    nvcc_flags = compiler_flags.nvcc_flags(flags, cuda) if cuda else ()
    return Compiler(gcc=gcc, host_flags=flags, nvcc_flags=nvcc_flags)
