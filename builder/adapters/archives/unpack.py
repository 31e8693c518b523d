"""Archives unpacked so that nothing in them reaches outside: tar in any compression, and .deb.

Python's own extraction filters are not relied on: tarfile only reads, and what writes is
builder.adapters.storage.tree.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

from builder.adapters.archives.inflate import Inflated
from builder.adapters.storage.folder import storage_errors
from builder.adapters.storage.tree import Attributes, Limits, Tree
from builder.errors import CellarError, IntegrityError

_CHUNK = 1 << 16
_HEADERS = 1 << 20  # bytes that a name or a pax header may have: tarfile reads it whole
_LONG_HEADERS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_DATA = ("data.tar.xz", "data.tar.gz", "data.tar.bz2", "data.tar")
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_ENDS = {"EOFHeaderError", "EmptyHeaderError"}  # how tarfile tells an end from damage


class _DamagedHeaderError(Exception):
    """What tarfile would take for the end of an archive."""


_BROKEN = (_DamagedHeaderError, tarfile.TarError, EOFError, ValueError, OverflowError)


def unpack_tar(fileobj: BinaryIO, into: Path, *, limits: Limits | None = None) -> None:
    """Unpack a tar stream (gzip, bzip2, xz or plain) into the new directory `into`.

    An archive that is damaged, leads outside, holds devices or exceeds `limits` is an
    IntegrityError, and then nothing of it is left.
    """
    bounds = limits or Limits()
    label = str(getattr(fileobj, "name", "archive"))
    tree = Tree(into, label, bounds)
    try:
        stream = io.BufferedReader(Inflated(fileobj, label, size=bounds.size, ratio=bounds.ratio))
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, errorlevel=2) as tar:
            for member in tar:
                _place(tar, member, tree, label)
        while stream.read(_CHUNK):  # the checksum of a compressed stream comes at its very end
            pass
        tree.finish()
    except _BROKEN as error:
        tree.discard()
        message = f"{label}: not a sound tar archive: {error}"
        raise IntegrityError(message) from None
    except (CellarError, KeyboardInterrupt):
        tree.discard()
        raise
    finally:
        tree.close()


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree, label: str) -> None:
    attributes = Attributes(
        mode=member.mode, uid=member.uid, gid=member.gid, mtime=float(member.mtime)
    )
    if member.size < 0:  # a pax header may say so
        _refuse(label, member, "its size is negative")
    if member.isdir():
        tree.folder(member.name, attributes)
    elif member.issym():
        tree.link(member.name, member.linkname, attributes)
    elif member.islnk():
        tree.hard_link(member.name, member.linkname)
    elif member.isreg():
        content = tar.extractfile(member)
        if content is None:
            _refuse(label, member, "it has no content")
        tree.file(member.name, attributes, content)
    else:
        _refuse(label, member, "it is a device, a pipe or of an unknown kind")


def _refuse(label: str, member: tarfile.TarInfo, why: str) -> NoReturn:
    message = f"{label}: {member.name!r}: {why}"
    raise IntegrityError(message, hint="the archive is damaged or hostile: it was not used")


class _Header(tarfile.TarInfo):
    """Headers that may not make tarfile read without end, or stop early in silence."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _LONG_HEADERS and header.size > _HEADERS):
            message = f"the header of {header.name!r} states a size of {header.size}"
            raise _DamagedHeaderError(message)
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ in _ENDS:
                raise
            message = f"a header is damaged: {error}"
            raise _DamagedHeaderError(message) from None


def deb_data(path: Path) -> BinaryIO:
    """Return the compressed data.tar of a .deb, for `unpack_tar`; no .deb is an IntegrityError.

    A .deb is an ar archive of debian-binary, control.tar and data.tar, in this order (deb(5)).
    """
    with storage_errors(path):
        file = path.open("rb")
        members = list(_ar_members(file, path))
    names = [name for name, _, _ in members]
    data = [member for member in members if member[0] in _DATA]
    if names[:1] != ["debian-binary"] or len(data) != 1:
        file.close()
        message = f"{path}: not a Debian package: it has no single data.tar that can be read here"
        raise IntegrityError(message)
    _, offset, size = data[0]
    return io.BufferedReader(_Window(file, offset, size, path))


def _ar_members(file: BinaryIO, path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each member of an ar archive (the common format of ar(5))."""
    end, offset = os.fstat(file.fileno()).st_size, len(_AR_MAGIC)
    sound = file.read(offset) == _AR_MAGIC
    while sound and offset < end:
        file.seek(offset)
        header = file.read(_AR_HEADER)
        size = header[48:58].strip()
        sound = (
            header[58:60] == b"`\n" and size.isdigit() and offset + _AR_HEADER + int(size) <= end
        )
        if sound:
            name = header[:16].decode("ascii", "replace").strip().removesuffix("/")
            yield name, offset + _AR_HEADER, int(size)
            offset += _AR_HEADER + int(size) + int(size) % 2
    if not sound:
        file.close()
        message = f"{path}: not a Debian package: its ar archive is damaged"
        raise IntegrityError(message)


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, size: int, path: Path) -> None:
        super().__init__()
        file.seek(offset)
        self._file, self._left, self.name = file, size, str(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
