"""Advisory locks on open files: the kernel lets go of them when their holder dies."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from builder.adapters.storage.folder import Folder, storage_errors

GC_LOCK = "gc"  # held shared by whoever adds or leases, alone by whoever removes


def try_lock(file: BinaryIO | int, *, shared: bool = False) -> bool:
    """Lock an open file without waiting; say whether that succeeded.

    flock rather than POSIX record locks: those belong to a process and fall at any close.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(folder: Folder, name: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `name` of `folder` for the block, waiting for whoever has it."""
    with folder.keep(name) as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextmanager
def alone(folder: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold the directory `folder`, made where there is none, as the only one for the block.

    Where another process holds it, `busy` is called once and then waited for it.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("ab")
    with file:
        if not try_lock(file):
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def still_named(file: BinaryIO, folder: Folder, name: str) -> bool:
    """Say whether `name` still means the open `file`: it may have been moved while we waited."""
    found = folder.stat(name)
    mine = os.fstat(file.fileno())
    return found is not None and (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
