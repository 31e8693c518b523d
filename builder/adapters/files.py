"""Locks on disk: read whole, written whole, so that a reader never meets half of one."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files as package_files
from pathlib import Path

from builder.domain.lock_files import Reading, read
from builder.domain.locking import requirement_file
from builder.errors import DataError, StorageError

_TEXTS = ("*.json", "pip/*.txt")


def read_lock(folder: Path) -> Reading:
    """Read the lock in `folder`; a folder that is not there is a DataError."""
    texts = texts_of(folder)
    if not texts:
        message = f"{folder}: there is no lock"
        raise DataError(message, hint=f"make it: `make lock CELL={folder.name}`")
    return read(texts, schema("lock"))


def texts_of(folder: Path) -> Mapping[str, str]:
    """Return the files of a lock's folder by relative path; empty where there is none."""
    old = _beside(folder, "old")
    # A kill between the two moves of write_lock leaves the old lock there.
    standing = old if old.is_dir() and not folder.is_dir() else folder
    found = sorted(path for pattern in _TEXTS for path in standing.glob(pattern))
    return {
        path.relative_to(standing).as_posix(): path.read_text(encoding="utf-8", errors="replace")
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
    """Replace the lock in `folder` by `texts`; whoever reads meets all of the old or of the new.

    A full directory cannot be replaced in one step, so the old one is moved aside first. A full
    or read-only disk is a StorageError, and the old lock stays.
    """
    try:
        _replace(folder, texts)
    except OSError as error:
        message = f"{folder}: the lock cannot be written: {error.strerror or error}"
        hint = "the old lock stands; make room there or make it writable, and run it again"
        raise StorageError(message, hint=hint) from error


def _replace(folder: Path, texts: Mapping[str, str]) -> None:
    fresh, old = _beside(folder, "new"), _beside(folder, "old")
    if old.is_dir() and not folder.is_dir():
        old.rename(folder)
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, text in sorted(texts.items()):
        _write(fresh / name, text)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path, word: str) -> Path:
    """Return a scratch folder on the same disk, where nobody looks for locks."""
    return folder.parents[1] / f".{folder.parent.name}-{folder.name}.{word}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
