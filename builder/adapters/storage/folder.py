"""Directories held open by descriptor, so that no link planted below them redirects a write."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from builder.errors import StorageError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a planted FIFO must not block an open
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_PLANTED = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names `where` and the remedy."""
    try:
        yield
    except OSError as error:
        raise _explained(error, where) from error


def _explained(error: OSError, where: Path) -> StorageError:
    elsewhere = "or put the store elsewhere: CELLAR_STORE=DIR"
    if error.errno in _FULL:
        hint = f"free some space (`cellar store gc`), {elsewhere}"
        return StorageError(f"{where}: the disk is full", hint=hint)
    if error.errno in _REFUSED:
        what = "read-only" if error.errno == errno.EROFS else "not ours to write"
        return StorageError(f"{where}: the disk is {what}", hint=f"make it writable, {elsewhere}")
    if error.errno in _PLANTED:
        message = f"{where}: a link or a special file stands where a store keeps a plain one"
        return StorageError(message, hint="look who put it there, then remove it")
    return StorageError(f"{where}: {error.strerror or error}", hint=f"check the disk, {elsewhere}")


class Folder:
    """A directory held open: each name is one component below it, and no link is followed."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.fd = descriptor
        self.path = path  # for messages and for programs that need a name; never to write by

    @classmethod
    def at(cls, path: Path, *, create: bool = False) -> Self:
        """Open the directory that a user named; links in this first path are the user's own."""
        if create:
            path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the descriptor go; closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def sub(self, name: str, *, create: bool = False, mode: int = PRIVATE_FOLDER) -> "Folder":
        """Open the directory `name` below this one, made first where `create` says so."""
        if create:
            with suppress(FileExistsError):
                os.mkdir(single(name), mode, dir_fd=self.fd)
                self.sync()
        return Folder(os.open(single(name), _FOLDER, dir_fd=self.fd), self.path / name)

    def new(self, name: str, *, mode: int = PRIVATE_FILE) -> io.BufferedRandom:
        """Make the file `name`, which must not exist, for reading and writing."""
        flags = _PLAIN | os.O_RDWR | os.O_CREAT | os.O_EXCL
        return os.fdopen(os.open(single(name), flags, mode, dir_fd=self.fd), "w+b")

    def keep(self, name: str) -> io.BufferedRandom:
        """Open the file `name` for reading and writing, made empty where it is absent."""
        flags = _PLAIN | os.O_RDWR | os.O_CREAT
        try:
            opened = os.open(single(name), flags, PRIVATE_FILE, dir_fd=self.fd)
        except PermissionError:
            if not self.holds(name):
                raise
            # We may have died after making it read-only and before moving it.
            with self.read(name) as file:
                os.fchmod(file.fileno(), PRIVATE_FILE)
            opened = os.open(single(name), flags, PRIVATE_FILE, dir_fd=self.fd)
        return os.fdopen(self._plain(opened), "r+b")

    def read(self, name: str) -> io.BufferedReader:
        """Open the plain file `name` for reading."""
        opened = os.open(single(name), _PLAIN | os.O_RDONLY, dir_fd=self.fd)
        return os.fdopen(self._plain(opened), "rb")

    def _plain(self, opened: int) -> int:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        return opened

    def stat(self, name: str) -> os.stat_result | None:
        """Return what stands under `name` (a link itself, not its target), or None."""
        try:
            return os.stat(single(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        """Say whether `name` is a plain file here."""
        found = self.stat(name)
        return found is not None and stat.S_ISREG(found.st_mode)

    def names(self) -> list[str]:
        """Return the names in this directory, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208 - pathlib knows no descriptors

    def move(self, name: str, target: "Folder", new_name: str) -> None:
        """Rename a file into `target` in one step, replacing what stood there."""
        os.rename(single(name), single(new_name), src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def link(self, name: str, target: "Folder", new_name: str) -> None:
        """Give the file `name` a second name in `target`, which must be free."""
        os.link(
            single(name),
            single(new_name),
            src_dir_fd=self.fd,
            dst_dir_fd=target.fd,
            follow_symlinks=False,
        )

    def remove(self, name: str) -> None:
        """Remove the file or link `name`; that it is gone already is no fault."""
        with suppress(FileNotFoundError):
            os.unlink(single(name), dir_fd=self.fd)

    def remove_tree(self, name: str) -> None:
        """Remove the directory `name` with all below it, following no link."""
        with self.sub(name) as inner:
            for child in inner.names():
                found = inner.stat(child)
                if found is not None and stat.S_ISDIR(found.st_mode):
                    inner.remove_tree(child)
                else:
                    inner.remove(child)
        os.rmdir(single(name), dir_fd=self.fd)

    def sync(self) -> None:
        """Make the names in this directory durable."""
        os.fsync(self.fd)


def single(name: str) -> str:
    """Return `name` if it is one harmless path component, else raise ValueError."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        message = f"{name!r} is not a plain file name"
        raise ValueError(message)
    return name
