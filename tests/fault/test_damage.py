"""Much damage, long lives, full and read-only disks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from builder.adapters import process
from builder.adapters.storage.store import Store
from builder.errors import StorageError
from tests.bad_server import BadServer, Resource
from tests.store_examples import Silent, artifact, content, downloads, job, keep
from tests.unit.adapters.storage.test_store_care import LIFE, StoreLife, check_damages

DAMAGES = 1_000
LIVES = 500
KEY = "op-key-one"

TestManyLives = StoreLife.TestCase
TestManyLives.settings = settings(LIFE, max_examples=LIVES)


def test_a_thousand_damages(tmp_path: Path) -> None:
    check_damages(DAMAGES, tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with room for a quarter of a megabyte."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root mounts a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    process.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", str(disk)])
    yield disk
    process.run(["umount", str(disk)])


def test_a_full_disk_keeps_what_came_and_goes_on_when_there_is_room(small: Path) -> None:
    data = content(1, 1_000_000)
    made = artifact(data)
    store = Store(small / "store")
    with BadServer({"/a": Resource(content=data)}) as server:
        jobs = [job(made, [server.url("/a")])]
        with pytest.raises(StorageError, match="the disk is full") as caught:
            downloads(store).download(jobs, Silent())
        assert caught.value.hint
        assert "CELLAR_STORE" in caught.value.hint
        kept = (small / "store" / "partial" / made.sha256).stat().st_size
        assert kept > 100_000
        process.run(["mount", "-o", "remount,size=4m", str(small)])
        before = server.log.served["/a"]
        assert downloads(store).download(jobs, Silent()) == {}
        assert server.log.served["/a"] - before == len(data) - kept
    assert store.path(made).read_bytes() == data
    store.close()


def test_a_put_on_a_full_disk_leaves_nothing_behind(small: Path, tmp_path: Path) -> None:
    store = Store(small / "store")
    big = tmp_path / "big-1-py3-none-any.whl"
    big.write_bytes(content(2, 1_000_000))
    with pytest.raises(StorageError, match="the disk is full"):
        keep(store, big.read_bytes(), tmp_path)
    with pytest.raises(StorageError, match="the disk is full"):
        store.add_op_wheel(KEY, big)
    assert list((small / "store" / "tmp").iterdir()) == []
    made = keep(store, b"small", tmp_path)
    assert store.path(made).read_bytes() == b"small"
    store.close()


def test_a_read_only_disk_is_read_and_not_written(small: Path, tmp_path: Path) -> None:
    store = Store(small / "store")
    made = keep(store, b"here already", tmp_path)
    store.close()
    process.run(["mount", "-o", "remount,ro", str(small)])
    store = Store(small / "store")
    assert store.path(made).read_bytes() == b"here already"
    with pytest.raises(StorageError, match="the disk is read-only") as caught:
        keep(store, b"new", tmp_path)
    assert "CELLAR_STORE" in str(caught.value.hint)
    with (
        BadServer({"/a": Resource(content=b"new")}) as server,
        pytest.raises(StorageError, match="the disk is read-only"),
    ):
        downloads(store).download([job(artifact(b"new"), [server.url("/a")])], Silent())
    store.close()
