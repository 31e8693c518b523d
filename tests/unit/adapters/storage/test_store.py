import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from builder.adapters.storage.partial import Partial
from builder.adapters.storage.store import FOLDERS, Store
from builder.errors import IntegrityError, NetworkError, StorageError
from tests.store_examples import artifact, content, keep

KEY = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def everything(folder: Path) -> dict[str, tuple[int, str]]:
    """Return mode and content (or link target, or nothing) of all below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            what = f"-> {path.readlink()}"
        else:
            what = path.read_bytes().hex() if path.is_file() else "folder"
        found[str(path.relative_to(folder))] = (path.lstat().st_mode & 0o7777, what)
    return found


def test_what_is_stored_can_be_had_again(store: Store, tmp_path: Path) -> None:
    made = keep(store, b"bytes", tmp_path)
    assert store.has(made.sha256)
    assert store.size(made.sha256) == 5
    assert store.path(made).read_bytes() == b"bytes"
    assert store.path(made).stat().st_mode & 0o777 == 0o444
    assert {path.stat().st_mode & 0o777 for path in store.root.rglob("*") if path.is_dir()} == {
        0o700
    }


def test_what_is_not_stored_names_the_remedy(store: Store) -> None:
    made = artifact(b"bytes")
    with pytest.raises(NetworkError) as caught:
        store.path(made)
    assert str(caught.value) == f"{made.filename} (sha256 {made.sha256}) is not in the store"
    assert caught.value.hint == "`cellar fetch` brings it"


def test_a_file_with_other_bytes_is_refused(store: Store, tmp_path: Path) -> None:
    made = artifact(b"right")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"wrong")
    with pytest.raises(IntegrityError, match=f"expected sha256 {made.sha256}, got "):
        store.add_file(wrong, made)
    assert not store.has(made.sha256)
    assert list((store.root / "tmp").iterdir()) == []


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("use", ["path", "link_into"])
def test_damaged_bytes_are_named_set_aside_and_never_used(
    damage: Callable[[Path], None], use: str, store: Store, tmp_path: Path
) -> None:
    made = keep(store, b"bytes", tmp_path)
    place = store.path(made)
    place.chmod(0o644)
    damage(place)
    damaged = place.read_bytes()
    with pytest.raises(IntegrityError) as caught:
        store.path(made) if use == "path" else store.link_into(made, tmp_path / "context")
    assert f"expected sha256 {made.sha256}, got " in str(caught.value)
    assert not store.has(made.sha256)
    assert [path.read_bytes() for path in (store.root / "quarantine").iterdir()] == [damaged]
    assert not (tmp_path / "context" / made.filename).exists()
    with pytest.raises(NetworkError):
        store.path(made)


def test_a_lock_with_a_wrong_size_is_blamed_and_not_the_bytes(store: Store, tmp_path: Path) -> None:
    keep(store, b"bytes", tmp_path)
    with pytest.raises(IntegrityError, match="expected 4 bytes, got 5") as caught:
        store.path(artifact(b"bytes", size=4))
    assert caught.value.hint == "the lock states a wrong size: make it anew with `cellar lock`"
    assert store.has(artifact(b"bytes").sha256)


def test_links_are_made_where_that_is_possible_and_copies_elsewhere(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keep(store, b"bytes", tmp_path)
    linked = store.link_into(made, tmp_path / "near")
    assert linked.stat().st_ino == store.path(made).stat().st_ino

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    copied = store.link_into(made, tmp_path / "far")
    assert copied.stat().st_ino != store.path(made).stat().st_ino
    assert (copied.name, copied.read_bytes()) == (made.filename, b"bytes")
    assert copied.stat().st_mode & 0o777 == 0o444


def test_a_disk_that_is_too_small_for_a_copy_is_the_one_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keep(store, b"bytes", tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match=f"^{tmp_path}/far: the disk is full"):
        store.link_into(made, tmp_path / "far")


def test_op_wheels_are_kept_under_their_key_and_true_name(store: Store, tmp_path: Path) -> None:
    wheel = tmp_path / "mmcv_full-1.7.2-cp311-cp311-linux_x86_64.whl"
    wheel.write_bytes(b"compiled")
    assert store.op_wheel(KEY) is None
    kept = store.add_op_wheel(KEY, wheel)
    assert store.op_wheel(KEY) == kept
    assert (kept.name, kept.read_bytes()) == (wheel.name, b"compiled")
    assert store.add_op_wheel(KEY, wheel) == kept
    wheel.write_bytes(b"compiled otherwise")
    with pytest.raises(IntegrityError, match="its key holds sha256 "):
        store.add_op_wheel(KEY, wheel)
    assert list((store.root / "tmp").iterdir()) == []
    kept.chmod(0o644)
    flip(kept)
    with pytest.raises(IntegrityError, match="it was set aside"):
        store.op_wheel(KEY)
    assert store.op_wheel(KEY) is None


ERRORS = [
    pytest.param(errno.ENOSPC, "the disk is full", id="full"),
    pytest.param(errno.EROFS, "the disk is read-only", id="read-only"),
    pytest.param(errno.EACCES, "the disk is not ours to write", id="not ours"),
    pytest.param(errno.EIO, "Input/output error", id="broken"),
]


class FailAt:
    """Lets the N-th call of any of some functions of `os` fail."""

    def __init__(
        self, patch: pytest.MonkeyPatch, names: tuple[str, ...], nth: int, code: int
    ) -> None:
        self.calls, self._nth, self._code = 0, nth, code
        for name in names:
            patch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            self.calls += 1
            if self.calls == self._nth:
                raise OSError(self._code, os.strerror(self._code))
            return real(*args, **options)

        return call


CALLS = ("open", "mkdir", "fsync", "rename", "fchmod")


@pytest.mark.parametrize(("code", "text"), ERRORS)
def test_every_failing_call_of_a_put_is_clean(code: int, text: str, tmp_path: Path) -> None:
    nth = 0
    while True:
        nth += 1
        store = Store(tmp_path / f"store-{nth}")
        made = artifact(b"bytes")
        source = tmp_path / "source"
        source.write_bytes(b"bytes")
        with pytest.MonkeyPatch.context() as patch:
            failing = FailAt(patch, CALLS, nth, code)
            error = _error_of(partial(store.add_file, source, made))
        if failing.calls < nth:
            assert error is None
            break
        if error is None:  # one EACCES is no matter: we may only have lost our own mode bits
            assert (code, store.has(made.sha256)) == (errno.EACCES, True)
            continue
        assert text in str(error)
        assert error.hint
        assert [path for path in (store.root / "tmp").iterdir() if path.stat().st_size] == []
        store.add_file(source, made)
        assert store.path(made).read_bytes() == b"bytes"
        store.close()
    assert nth > 6


def _error_of(work: Callable[[], None]) -> StorageError | None:
    try:
        work()
    except StorageError as error:
        return error
    return None


def test_bytes_are_durable_before_their_name_and_the_name_before_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = Store(tmp_path / "store"), artifact(b"bytes")
    source = tmp_path / "source"
    source.write_bytes(b"bytes")
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def told_sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"sync {kind}")
        sync(descriptor)

    def told_rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        done.append("rename")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", told_sync)
    monkeypatch.setattr(os, "rename", told_rename)
    store.add_file(source, made)
    # The first folder is `objects`, which has gained a shard.
    assert done == ["sync file", "sync folder", "rename", "sync folder"]


def test_a_store_in_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        Store(tmp_path / "file" / "store")


# Each case plants one link (or pipe) and says what is then tried; nothing outside may change.
PLANTED = [
    *[pytest.param(name, "put", id=f"{name} is a link, put") for name in FOLDERS],
    pytest.param("objects/SHARD", "put", id="the shard is a link, put"),
    pytest.param("objects/SHARD/SHA", "put", id="the object is a link, put"),
    pytest.param("objects/SHARD/SHA", "get", id="the object is a link, get"),
    pytest.param("objects/SHARD/SHA", "link", id="the object is a link, link into a context"),
    pytest.param("locks/gc", "put", id="the lock is a link, put"),
    pytest.param("locks/gc", "lease", id="the lock is a link, lease"),
    pytest.param("partial/SHA", "claim", id="the partial is a link, download"),
    pytest.param("partial/SHA.from", "claim", id="the partial's note is a link, download"),
    pytest.param(f"ops/{KEY}", "op", id="the op wheel's folder is a link, put"),
    pytest.param("complete/bevformer-cpu", "note", id="the note is a link, note"),
]


@pytest.mark.parametrize("kind", ["link to a folder", "link to a file", "dangling link", "pipe"])
@pytest.mark.parametrize(("place", "action"), PLANTED)
def test_planted_links_redirect_nothing(place: str, action: str, kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"canary")
    made = artifact(b"bytes")
    root = tmp_path / "store"
    Store(root).close()
    spot = root / place.replace("SHARD", made.sha256[:2]).replace("SHA", made.sha256)
    plant(spot, kind, outside)
    before = everything(outside)
    with suppress(StorageError, IntegrityError, NetworkError):
        act(action, root, tmp_path)
    assert everything(outside) == before
    assert not (tmp_path / "dangling").exists()


def plant(spot: Path, kind: str, outside: Path) -> None:
    if spot.is_dir():
        spot.rmdir()
    spot.parent.mkdir(exist_ok=True)
    spot.unlink(missing_ok=True)
    targets = {
        "link to a folder": outside,
        "link to a file": outside / "canary",
        "dangling link": outside.parent / "dangling",
    }
    if kind == "pipe":
        os.mkfifo(spot)
    else:
        spot.symlink_to(targets[kind])


def act(action: str, root: Path, tmp_path: Path) -> None:
    store, made = Store(root), artifact(b"bytes")
    source = tmp_path / "mmcv_full-1-py3-none-any.whl"
    source.write_bytes(b"bytes")
    if action == "put":
        store.add_file(source, made)
    elif action == "get":
        store.path(made)
    elif action == "link":
        store.link_into(made, tmp_path / "context")
    elif action == "lease":
        with store.lease([made.sha256]):
            pass
    elif action == "claim":
        claimed = Partial.claim(store, made)
        if claimed:
            with claimed:
                claimed.resume("place")
                claimed.restart("place", '"etag"')
                claimed.write(b"bytes")
                claimed.commit("place")
    elif action == "op":
        store.add_op_wheel(KEY, source)
    elif action == "note":
        store.note_complete("bevformer-cpu", [made.sha256])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_swapped_during_a_put_redirects_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    store, made = Store(root), artifact(b"bytes")
    source = tmp_path / "source"
    source.write_bytes(b"bytes")
    real = os.fsync
    swapped: list[str] = []

    def swap_then_sync(descriptor: int) -> None:
        if not swapped:
            (root / name).rename(tmp_path / "moved")
            (root / name).symlink_to(outside)
            swapped.append(name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", swap_then_sync)
    store.add_file(source, made)
    assert swapped
    assert everything(outside) == {}


def test_a_big_file_is_stored_as_it_is(store: Store, tmp_path: Path) -> None:
    data = content(1, 3_000_001)
    assert store.path(keep(store, data, tmp_path)).read_bytes() == data
