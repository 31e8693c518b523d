"""A work directory that two builds want at once."""

import threading
from pathlib import Path

import pytest

from builder.adapters.storage.locks_fs import alone
from builder.errors import StorageError


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    work, seen = tmp_path / "work", list[str]()
    waiting = threading.Event()

    def second() -> None:
        with alone(work, waiting.set):
            seen.append("second")

    with alone(work, waiting.set):
        assert not waiting.is_set()
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        seen.append("first")
    thread.join(10)
    assert seen == ["first", "second"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=rf"^{tmp_path}/file/work: "),
        alone(tmp_path / "file" / "work", lambda: None),
    ):
        pass
