"""Where adapters are made and handed to the commands."""

from functools import cache
from pathlib import Path

from builder.adapters import files
from builder.adapters.data import datafiles
from builder.adapters.progress import PlainProgress, TerminalProgress, best_progress
from builder.domain.definition import ImageDefinition
from builder.domain.lock_problems import check
from builder.domain.lockfile import Lock
from builder.domain.locking import Definition, requirement_names
from builder.domain.matrix import Cell
from builder.errors import UsageError


@cache
def root() -> Path:
    """Return the repository's root: where the command stands, else where this package lies."""
    package = Path(__file__).resolve().parents[2]
    for folder in (Path.cwd(), *Path.cwd().parents, package):
        if (folder / "images").is_dir() and (folder / "templates").is_dir():
            return folder
    message = f"{Path.cwd()} is not inside a Cellar checkout (no images/ and templates/)"
    raise UsageError(message, hint="change into the checkout first")


@cache
def progress() -> TerminalProgress | PlainProgress:
    """Return the one listener of this process."""
    return best_progress()


@cache
def image(name: str) -> ImageDefinition:
    """Return what `images/<name>/image.yaml` defines."""
    return datafiles.load_image(root() / "images" / name / "image.yaml")


def definition(image_name: str, cell: Cell) -> Definition:
    """Return all that people wrote about one cell, from which its lock is made."""
    defined = image(image_name)
    folder = root() / "images" / image_name / "requirements"
    requirements = files.read_requirements(folder, requirement_names(defined, cell), cell=cell.id)
    return Definition(cell=cell, image=defined, requirements=requirements)


def lock_folder(image_name: str, cell: Cell) -> Path:
    """Return where the lock of a cell lies."""
    return root() / "lock" / image_name / cell.id


def lock(image_name: str, cell: Cell) -> Lock:
    """Return the lock of a cell, fit for use; all its faults come in one DataError."""
    reading = files.read_lock(lock_folder(image_name, cell))
    digest = definition(image_name, cell).digest
    return check(reading, image=image_name, cell=cell, digest=digest)
