"""Zip archives and wheels, read by two parsers that must agree, and unpacked into a safe tree.

A zip states each entry twice: before its data and in the central directory at the end. Readers
that trust different copies see different files; an archive where the two differ is refused.
"""

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFMT, S_ISDIR, S_ISREG
from typing import BinaryIO, NoReturn

from builder.adapters.storage.folder import storage_errors
from builder.adapters.storage.tree import Attributes, Limits, Tree
from builder.errors import CellarError, IntegrityError

_LOCAL = struct.Struct("<4s5H3L2H")  # APPNOTE.TXT 6.3.10, 4.3.7
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_TRAILER, _TRAILER_MAGIC = struct.Struct("<3L"), b"PK\x07\x08"  # 4.3.9
_UNICODE_PATH = 0x7075  # 4.6.9: a second name
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_FLOOR = 1 << 22
_UNIX = 3
_BROKEN = (
    zipfile.BadZipFile,
    struct.error,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What the raw headers say of one entry."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    offset: int


def unpack_zip(path: Path, into: Path, *, limits: Limits | None = None) -> None:
    """Unpack the zip archive `path` into the new directory `into`.

    An archive that is damaged, ambiguous, encrypted, leads outside, holds anything but files and
    folders, or exceeds `limits` is an IntegrityError, and then nothing of it is left.
    """
    bounds = limits or Limits()
    with storage_errors(path):
        file = path.open("rb")
    with file:
        tree = Tree(into, str(path), bounds)
        try:
            with zipfile.ZipFile(file) as archive:
                _agree(file, archive)
                _bounded(archive, bounds)
                for info in archive.infolist():
                    _place(archive, info, tree)
            tree.finish()
        except _BROKEN as error:
            tree.discard()
            message = f"{path}: not a sound zip archive: {error}"
            hint = "the archive is damaged or hostile: it was not used"
            raise IntegrityError(message, hint=hint) from None
        except (CellarError, KeyboardInterrupt):
            tree.discard()
            raise
        finally:
            tree.close()


def _place(archive: zipfile.ZipFile, info: zipfile.ZipInfo, tree: Tree) -> None:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    folder = info.filename.endswith("/")
    if mode and S_IFMT(mode) and not (S_ISDIR(mode) if folder else S_ISREG(mode)):
        _bad(f"{info.filename!r} is a link or a special file")
    if folder:
        tree.folder(info.filename, Attributes(mode=0o755))
        return
    attributes = Attributes(mode=0o755 if mode & 0o100 else 0o644)
    with archive.open(info) as content:
        tree.file(info.filename, attributes, content)


def _bounded(archive: zipfile.ZipFile, limits: Limits) -> None:
    infos = archive.infolist()
    size, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if size > min(limits.size, max(limits.ratio * packed, _FLOOR)):
        _bad("it unpacks to more than an honest archive would")


def _agree(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile unless raw central headers, raw local headers and zipfile say the same."""
    start, rows = _central(file)
    infos = archive.infolist()
    if start != archive.start_dir or len(rows) != len(infos):
        _bad("its central directory is ambiguous")
    end = 0
    pairs = sorted(zip(rows, infos, strict=True), key=lambda pair: pair[0].offset)
    for entry, info in pairs:
        name = entry.name.decode("utf-8" if entry.flags & _UTF8 else "cp437")
        if name != info.orig_filename or name != info.filename or "\\" in name:
            _bad(f"the name {name!r} has more than one reading")
        if entry.flags & _ENCRYPTED or entry.method not in _METHODS:
            _bad(f"{name!r} is encrypted or packed in an unusual way")
        if (entry.packed, entry.offset) != (info.compress_size, info.header_offset):
            _bad(f"{name!r} has more than one reading")
        if entry.offset != end:
            _bad(f"there are hidden bytes before {name!r}")
        end = _local_end(file, entry, info)
    if end != start:
        _bad("there are hidden bytes before its central directory")


def _central(file: BinaryIO) -> tuple[int, list[_Entry]]:
    """Read the central directory by hand: where it starts, and its rows."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size, 0))
    magic, disk, _, here, count, length, start, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06" or comment or disk or here != count:
        _bad("bytes follow its end, or it has several parts")
    if start + length + _END.size != size:  # also where a zip64 record stands in between
        _bad("its central directory is not where its end says")
    file.seek(start)
    raw, rows, at = file.read(length), [], 0
    for _ in range(count):
        (magic, _, _, flags, method, _, _, crc, packed, _, name, extra, remark, _, _, _, offset) = (
            _CENTRAL.unpack_from(raw, at)
        )
        at += _CENTRAL.size
        if magic != b"PK\x01\x02" or _UNICODE_PATH in _extra_kinds(raw[at + name :][:extra]):
            _bad("a row of its central directory is damaged or ambiguous")
        rows.append(
            _Entry(
                name=raw[at : at + name],
                flags=flags,
                method=method,
                crc=crc,
                packed=packed,
                offset=offset,
            )
        )
        at += name + extra + remark
    if at != length:
        _bad("its central directory has hidden bytes")
    return start, rows


def _local_end(file: BinaryIO, entry: _Entry, info: zipfile.ZipInfo) -> int:
    """Hold the header before the data against the central one; return where the entry ends."""
    file.seek(entry.offset)
    magic, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack(
        file.read(_LOCAL.size)
    )
    own = file.read(name)
    if (magic, own, flags, method) != (b"PK\x03\x04", entry.name, entry.flags, entry.method):
        _bad(f"{info.filename!r} is described in two ways")
    if _UNICODE_PATH in _extra_kinds(file.read(extra)):
        _bad(f"{info.filename!r} has more than one name")
    stated = (entry.crc, entry.packed, info.file_size)
    end = entry.offset + _LOCAL.size + int(name) + int(extra) + entry.packed
    if not flags & _STREAMED:
        if (crc, packed, size) != stated:
            _bad(f"{info.filename!r} is described in two ways")
        return end
    file.seek(end)
    trailer = file.read(_TRAILER.size + len(_TRAILER_MAGIC))
    marked = trailer.startswith(_TRAILER_MAGIC)
    body = trailer[len(_TRAILER_MAGIC) :] if marked else trailer[: _TRAILER.size]
    if _TRAILER.unpack(body) != stated or (crc, packed, size) not in ((0, 0, 0), stated):
        _bad(f"{info.filename!r} is described in two ways")
    return end + _TRAILER.size + (len(_TRAILER_MAGIC) if marked else 0)


def _extra_kinds(extra: bytes) -> set[int]:
    kinds, at = set[int](), 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        kinds.add(kind)
        at += 4 + length
    return kinds


def _bad(why: str) -> NoReturn:
    raise zipfile.BadZipFile(why)
