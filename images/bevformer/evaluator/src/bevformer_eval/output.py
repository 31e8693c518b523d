"""What the program prints and writes: data on stdout, talk on stderr, files whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from bevformer_eval.errors import StorageError


def emit(result: object, text: str, *, as_json: bool) -> None:
    """Print a result on stdout: as JSON for programs, else as text for people."""
    sys.stdout.write((json.dumps(result, indent=2) if as_json else text) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print one line for people on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def native_talk_on_stderr() -> Iterator[None]:
    """Send what C code prints on stdout to stderr: stdout is for data.

    mmcv's op prints a CUDA error so, and Python does not see it.
    """
    try:
        saved = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    libc = ctypes.CDLL(None)
    try:
        libc.fflush(None)
        os.dup2(2, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(saved, 1)
        os.close(saved)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses below `path` into a StorageError with its remedy."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"{where}: no space left", "free some space, or choose another --work-dir"
            ) from error
        reason = (error.strerror or str(error)).lower()
        hint = "choose a directory that this user can write, or start the container with --user"
        raise StorageError(f"{where}: cannot write: {reason}", hint) from error


def write_json(path: Path, value: object, indent: Optional[int] = 2) -> None:
    """Write JSON so that the file is either the old one or the whole new one.

    Without indent Python's C encoder serves, six times as fast.
    """
    write_whole(path, (json.dumps(value, indent=indent) + "\n").encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
