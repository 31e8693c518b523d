"""Reads nuScenes straight from its downloads: tars through ratarmount, can_bus.zip too.

Nothing is unpacked, and nothing is written but one index for each tar, below the work directory.
What an index costs in time, memory and disk is measured by tools/measure_index.py; see README.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import logging
import os
import struct
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from bevformer_eval.data.source import Stamp
from bevformer_eval.errors import DataError
from bevformer_eval.output import say, storage_errors

_GZIP_SPACING = 16 << 20  # bytes of the tar between two points from which a .tgz can be read
_READERS = 8  # positions in .tgz files that are kept; six cameras, and some for the next archive
_END = 1024  # a tar ends with two empty blocks of 512 bytes
_AGAIN = "download it again; its size is on the nuScenes download page"


class TarSource:
    """The union of the archives, which each hold a part of the data root."""

    def __init__(self, archives: Sequence[Path], index_dir: Path) -> None:
        self.name = ", ".join(path.name for path in archives)
        self._archives = [path.resolve() for path in archives]
        with storage_errors(index_dir):
            index_dir.mkdir(parents=True, exist_ok=True)
        self._members = _open_all(self._archives, index_dir, _Readers())

    def _find(self, path: str) -> Optional[Tuple[Member, Any]]:
        for member in self._members:
            info = member.lookup(path)
            if info is not None:
                return member, info
        return None

    def exists(self, path: str) -> bool:
        """Say whether one of the archives holds the file."""
        return self._find(path) is not None

    def open(self, path: str) -> BinaryIO:
        """Open a file of one of the archives; raise DataError if none holds it."""
        found = self._find(path)
        if found is None:
            raise DataError(
                f"{self.name}: no {path} in the archives", "add the archive that holds it to --data"
            )
        member, info = found
        return member.open(path, info)

    def versions(self) -> List[str]:
        """Return the nuScenes versions whose tables are in the archives."""
        folders = {
            name
            for member in self._members
            for name in member.folders()
            if name.startswith("v1.0-")
        }
        return sorted(name for name in folders if self.exists(f"{name}/scene.json"))

    def stamps(self) -> Dict[str, Stamp]:
        """Return size and time of every archive."""
        return {str(path): _stamp(path) for path in self._archives}


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns)


class Member:
    """One archive."""

    def lookup(self, path: str) -> Any:
        """Return what is needed to open the file; None if it is not here."""
        raise NotImplementedError

    def open(self, path: str, info: Any) -> BinaryIO:
        """Open a file."""
        raise NotImplementedError

    def folders(self) -> List[str]:
        """Return the names at the top."""
        raise NotImplementedError


def _open_all(paths: Sequence[Path], index_dir: Path, readers: _Readers) -> List[Member]:
    """Open every archive; raise one DataError that names all that are damaged."""
    members, faults = [], []
    for path in paths:
        try:
            members.append(_open_archive(path, index_dir, readers))
        except DataError as error:  # noqa: PERF203 - a dozen archives at most
            faults.append(error)
    if faults:
        raise DataError("; ".join(fault.message for fault in faults), faults[0].hint)
    return members


def _open_archive(path: Path, index_dir: Path, readers: _Readers) -> Member:
    try:
        return _Zip(path) if path.suffix == ".zip" else _Tar(path, index_dir, readers)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {(error.strerror or str(error)).lower()}", "check --data"
        ) from error


class _Zip(Member):
    """can_bus.zip, which needs no index."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is cut off or not a zip", _AGAIN) from error
        self._names = {
            _clean(name): name for name in self._zip.namelist() if not name.endswith("/")
        }

    def lookup(self, path: str) -> Optional[str]:
        return self._names.get(path)

    def open(self, _: str, info: str) -> BinaryIO:
        return self._zip.open(info)  # type: ignore[return-value]

    def folders(self) -> List[str]:
        return sorted({name.split("/")[0] for name in self._names})


def _clean(name: str) -> str:
    return name[2:] if name.startswith("./") else name


class _Readers:
    """The most recently used readers of .tgz files, one for each folder of an archive.

    A .tgz is read fast only onwards. The frames of one camera follow each other in the archive,
    those of six cameras lie far apart: a reader for each camera stays where it is (measured: 0.6 ms
    an image against 40 ms). Each reader costs the memory of an index, hence the bound.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tars: OrderedDict[Tuple[str, str], Any] = OrderedDict()

    def get(self, key: Tuple[str, str], mount: Callable[[], Any]) -> Any:
        """Return the reader for a folder of an archive; the least recently used one makes room."""
        with self._lock:
            if key not in self._tars:
                if len(self._tars) >= _READERS:
                    self._tars.popitem(last=False)
                self._tars[key] = mount()
            self._tars.move_to_end(key)
            return self._tars[key]


class _Tar(Member):
    """A .tar or .tgz, read in place through ratarmount's index."""

    def __init__(self, path: Path, index_dir: Path, readers: _Readers) -> None:
        digest = hashlib.sha256(f"{path}:{_stamp(path)}".encode()).hexdigest()[:16]
        index = index_dir / f"{path.name}.{digest}.sqlite"
        with _locked(index_dir / "lock"):
            if not index.is_file():
                _make_index(path, index)
        self._path, self._index, self._readers = path, index, readers
        self._tar = _mount(path, index)
        self._asking = threading.Lock()

    def lookup(self, path: str) -> Any:
        # Threads share ratarmount's one SQLite connection and its cached statement: under Python
        # 3.13 they got each other's rows, and so another image (283 of 20 000 in eight threads).
        with self._asking:
            return self._tar.lookup(f"/{path}")

    def open(self, path: str, info: Any) -> BinaryIO:
        tar = self._tar
        if self._path.suffix != ".tar":
            key = (str(self._path), path.rpartition("/")[0])
            tar = self._readers.get(key, lambda: _mount(self._path, self._index))
        stream: BinaryIO = tar.open(info)
        return stream

    def folders(self) -> List[str]:
        return sorted(self._tar.list("/") or [])


def _make_index(path: Path, index: Path) -> None:
    """Index a tar, check that it is whole, and only then give the index its name."""
    say(f"indexing {path.name} ({path.stat().st_size / 2**30:.1f} GiB), once")
    draft = index.with_name(f"{index.name}.{os.getpid()}.tmp")
    with storage_errors(index):
        try:
            tar = _mount(path, draft)
            _check_whole(path, tar.tarFileObject)
            del tar
            draft.replace(index)
        finally:
            draft.unlink(missing_ok=True)


def _mount(path: Path, index: Path) -> Any:
    try:
        from ratarmountcore.mountsource.formats.tar import SQLiteIndexedTar
    except ImportError as error:
        hint = "pip install 'ratarmountcore>=0.9' indexed_gzip, or unpack the archives"
        raise DataError(
            f"tars need ratarmount, which this installation lacks: {error}", hint
        ) from error
    try:
        with contextlib.redirect_stdout(_Progress()), _no_log():
            return SQLiteIndexedTar(
                str(path),
                writeIndex=True,
                indexFilePath=str(index),
                gzipSeekPointSpacing=_GZIP_SPACING,
                prioritizedBackends=["indexed_gzip"],
            )
    except (OSError, DataError):
        raise
    except Exception as error:
        raise DataError(
            f"{path} is cut off or not a tar: {str(error) or type(error).__name__}", _AGAIN
        ) from error


class _Progress(io.StringIO):
    """Lets through what ratarmount says about its progress, and nothing else, to stderr."""

    def write(self, text: str) -> int:
        if text.startswith("Currently at position"):
            say(f"  {text.strip()}")
        return len(text)


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Keep ratarmount's log of what it does from the terminal; what matters is checked here."""
    logger = logging.getLogger("ratarmountcore")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_whole(path: Path, tar: BinaryIO) -> None:
    """Raise DataError unless a tar ends as tars do, and a .tgz has the size that it states."""
    try:
        size = tar.seek(0, os.SEEK_END)
        tar.seek(max(0, size - _END))
        end = tar.read(_END)
    except Exception as error:
        raise DataError(f"{path} is cut off or damaged: {error}", _AGAIN) from error
    stated = size
    if path.suffix != ".tar":
        with path.open("rb") as stream:
            stream.seek(-4, os.SEEK_END)
            stated = struct.unpack("<I", stream.read(4))[0]
    if end != bytes(_END) or (stated != size % 2**32 and path.suffix != ".tar"):
        raise DataError(f"{path} is cut off: it ends in the middle of the archive", _AGAIN)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from making the same index at the same time."""
    with storage_errors(path), path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
