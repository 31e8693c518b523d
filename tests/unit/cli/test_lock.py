"""`cellar lock`: written whole or not at all, compared, and never telling what is private."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder import cli
from builder.adapters import files
from builder.adapters.locking.host_pip import HostPip
from builder.cli import building, wiring
from builder.cli import lock as verb
from builder.domain.lock_files import dump
from builder.domain.lockfile import Lock
from tests.unit.lock_examples import LOCK, deb

HOST = HostPip(settings={"index-url": "https://mirror.corp.example/s"}, variables={}, netrc=None)
NEWER = replace(LOCK, debs={**LOCK.debs, "base": (deb("python3.11", "9"),)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the lock goes, on a host with a private mirror."""
    place = tmp_path / "lock" / "bevformer" / "cpu"
    monkeypatch.setattr(wiring, "lock_folder", lambda _image, _cell: place)
    monkeypatch.setattr(HostPip, "read", lambda: HOST)
    monkeypatch.setattr(building, "engine", lambda _name: SimpleNamespace(version=lambda: "1"))
    return place


def making(monkeypatch: pytest.MonkeyPatch, made: Lock | BaseException) -> Callable[..., int]:
    """Let `cellar lock` make `made`, and return the command."""

    def make(*_args: object) -> Lock:
        if isinstance(made, BaseException):
            raise made
        return made

    monkeypatch.setattr(verb, "make", make)
    return lambda *words: cli.main(["lock", "--cell", "cpu", *words])


def test_a_new_lock_is_written_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert making(monkeypatch, LOCK)() == 0
    assert files.texts_of(folder) == dump(LOCK)
    assert capsys.readouterr().err == (
        "lock/bevformer/cpu: 2 debs, 3 wheels, 1 sources written; next: `make image CELL=cpu`\n"
    )


def test_the_same_lock_changes_no_byte(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_lock(folder, dump(LOCK))
    before = (folder / "pip.json").stat().st_ino
    assert making(monkeypatch, LOCK)() == 0
    assert (folder / "pip.json").stat().st_ino == before
    assert "nothing has changed" in capsys.readouterr().err


def test_a_changed_input_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_lock(folder, dump(LOCK))
    assert making(monkeypatch, NEWER)() == 0
    assert files.texts_of(folder) == dump(NEWER)
    assert "~ python3.11 (deb) 1:1.0-1: other bytes\n" in capsys.readouterr().err


OTHER = """\
error: lock/bevformer/cpu: a new lock differs in apt.json
~ python3.11 (deb) 1:1.0-1: other bytes
 hint: `make lock CELL=cpu`
"""


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (LOCK, (0, "lock/bevformer/cpu: 2 debs, 3 wheels, 1 sources, a new lock is the same\n")),
        (NEWER, (1, OTHER)),
    ],
    ids=["same", "other"],
)
def test_check_writes_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    made: Lock,
    outcome: tuple[int, str],
) -> None:
    files.write_lock(folder, dump(LOCK))
    assert (making(monkeypatch, made)("--check"), capsys.readouterr().err) == outcome
    assert files.texts_of(folder) == dump(LOCK)


def test_a_private_word_stops_the_lock_and_is_not_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = replace(LOCK.sources[0], location="x/mirror.corp.example")
    assert making(monkeypatch, replace(LOCK, sources=(planted,)))() == 9
    said = capsys.readouterr().err
    assert "sources.json:7: a host, name, password or path of this machine's" in said
    assert "mirror.corp.example" not in said
    assert files.texts_of(folder) == {}


def test_ctrl_c_leaves_the_old_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_lock(folder, dump(LOCK))
    assert making(monkeypatch, KeyboardInterrupt())() == 130
    assert files.texts_of(folder) == dump(LOCK)
    assert [path.name for path in folder.parents[1].iterdir()] == ["bevformer"]


def test_a_broken_old_lock_does_not_stop_a_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_lock(folder, {"lock.json": "{"})
    assert making(monkeypatch, LOCK)() == 0
    assert files.texts_of(folder) == dump(LOCK)
