"""Locks on disk: a reader meets the old lock or the new one, wherever a writer was stopped."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.adapters import files
from builder.domain.lock_files import dump
from builder.errors import DataError, StorageError
from tests.unit.lock_examples import LOCK

OLD = dump(LOCK)
NEW = dump(replace(LOCK, sources=(), pip=LOCK.pip[:2]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a lock's folder that holds the old lock."""
    place = tmp_path / "lock" / "bevformer" / "cpu"
    files.write_lock(place, OLD)
    return place


def test_a_lock_is_replaced_whole(folder: Path) -> None:
    assert files.texts_of(folder) == OLD
    files.write_lock(folder, NEW)
    assert files.texts_of(folder) == NEW  # the third layer's file is gone too
    assert [path.name for path in folder.parents[1].iterdir()] == ["bevformer"]
    reading = files.read_lock(folder)
    assert (reading.faults, reading.lock and reading.lock.sources) == ((), ())


def test_no_lock_is_one_line_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no lock") as caught:
        files.read_lock(tmp_path / "lock" / "bevformer" / "cpu")
    assert caught.value.hint == "make it: `make lock CELL=cpu`"


class _Stopped(BaseException):
    """The process ends here: not even `except Exception` runs."""


def _stop_at(call: int, original: Callable[..., Any]) -> Callable[..., Any]:
    left = iter(range(call))

    def stopping(*args: object, **named: object) -> object:
        if next(left, None) is None:
            raise _Stopped
        return original(*args, **named)

    return stopping


def _kill_points() -> list[tuple[type | object, str, int]]:
    writes = [(files, "_write", number) for number in range(len(NEW))]
    moves = [(Path, "rename", number) for number in range(2)]
    return [*writes, *moves, (shutil, "rmtree", 0), (shutil, "rmtree", 1), (shutil, "rmtree", 2)]


@pytest.mark.parametrize(("owner", "name", "call"), _kill_points())
def test_a_kill_at_any_step_leaves_one_whole_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, _stop_at(call, getattr(owner, name)))
        with pytest.raises(_Stopped):
            files.write_lock(folder, NEW)
    assert files.texts_of(folder) in (OLD, NEW)
    files.write_lock(folder, NEW)  # and the next run finishes the work
    assert files.texts_of(folder) == NEW
    assert [path.name for path in folder.parents[1].iterdir()] == ["bevformer"]


def test_a_full_disk_is_one_line_and_the_old_lock_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(StorageError, match="cannot be written: No space left on device"):
        files.write_lock(folder, NEW)
    assert files.texts_of(folder) == OLD


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("cpu", {"torch.in": "torch\n", "none.in": ""}),
        ("cu130", {"torch.in": "torch 13\n", "none.in": ""}),
    ],
)
def test_requirement_lists(tmp_path: Path, cell: str, expected: Mapping[str, str]) -> None:
    (tmp_path / "torch.in").write_text("torch\n")
    (tmp_path / "torch.cu130.in").write_text("torch 13\n")
    assert files.read_requirements(tmp_path, expected, cell=cell) == expected
