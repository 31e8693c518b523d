"""Where adapters are made and handed to the commands."""

from functools import cache
from pathlib import Path

from builder.adapters.progress import PlainProgress, TerminalProgress, best_progress
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
