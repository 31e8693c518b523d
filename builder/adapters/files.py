"""Locks on disk: read whole, written whole, so that a reader never meets half of one."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files as package_files
from pathlib import Path

from builder.adapters.folder import storage_errors
from builder.domain.lock_files import Reading, read
from builder.domain.locking import requirement_file
from builder.errors import DataError

_TEXTS = ("*.json", "pip/*.txt")


def read_lock(folder: Path) -> Reading:
    """Read the lock in `folder`; a folder that is not there is a DataError."""
    if not folder.is_dir():
        message = f"{folder}: there is no lock"
        raise DataError(message, hint=f"make it: `make lock CELL={folder.name}`")
    return read(texts_of(folder), schema("lock"))


def texts_of(folder: Path) -> Mapping[str, str]:
    """Return the files of a lock's folder by relative path; empty where there is none."""
    found = sorted(path for pattern in _TEXTS for path in folder.glob(pattern))
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in found
    }


def read_requirements(folder: Path, names: Iterable[str], *, cell: str) -> Mapping[str, str]:
    """Return the requirement lists `names` of a cell, whose own file (torch.cu130.in) comes first.

    A list that is not there is an empty one.
    """
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    chosen = {name: requirement_file(name, cell, present) for name in names}
    return {
        name: (folder / file).read_text(encoding="utf-8") if file in present else ""
        for name, file in chosen.items()
    }


def schema(name: str) -> Mapping[str, object]:
    """Return one of the published schemas, by its name: `lock`, `matrix`, ..."""
    path = package_files("builder") / "schemas" / f"{name}.schema.json"
    loaded: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def write_lock(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace the lock in `folder` by `texts`; until the last step the old one stays as it is.

    A directory cannot replace a full one in one step: the old one is first moved aside, and a
    kill between the two moves leaves it under `.old`, from where the next call puts it back.
    """
    with storage_errors(folder):
        fresh, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for name, text in sorted(texts.items()):
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
