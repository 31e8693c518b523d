"""Decompression with bounds: no stream may grow, or take memory, beyond what was allowed."""

import bz2
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from builder.errors import IntegrityError

_CHUNK = 1 << 16
_XZ_MEMORY = 1 << 28  # bytes; what `xz -9` makes needs a quarter of that
_FLOOR = 1 << 22  # a small archive may grow to this many bytes, whatever its ratio
_DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)


class Inflated(io.RawIOBase):
    """The decompressed bytes of `source`: gzip, bzip2 or xz by their magic, else as they are.

    More than `size` bytes, or more than `ratio` times what was read, is an IntegrityError, as is
    a damaged or cut stream.
    """

    def __init__(self, source: BinaryIO, label: str, *, size: int, ratio: int) -> None:
        super().__init__()
        self._source, self._label, self._most, self._ratio = source, label, size, ratio
        self._read_bytes = self._given = 0
        first = self._more()
        self._chunks = self._plain(first)
        for magic, unpack in (
            (b"\x1f\x8b", self._gzip),
            (b"BZh", self._bzip2),
            (b"\xfd7zXZ\x00", self._xz),
        ):
            if first.startswith(magic):
                self._chunks = unpack(first)
        self._rest = b""

    def readable(self) -> bool:
        """Say yes: this is what `io` asks before reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with at least one byte, or return 0 at the end."""
        if not self._rest:
            try:
                self._rest = next(self._chunks, b"")
            except _DAMAGE as error:
                message = f"{self._label}: its compressed data are damaged: {error}"
                raise IntegrityError(message) from None
            self._given += len(self._rest)
            if self._given > min(self._most, max(self._ratio * self._read_bytes, _FLOOR)):
                message = f"{self._label}: it unpacks to more than an honest archive would"
                raise IntegrityError(message)
        out, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(out)] = out
        return len(out)

    def _more(self) -> bytes:
        data = self._source.read(_CHUNK)
        self._read_bytes += len(data)
        return data

    def _plain(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield data
            data = self._more()

    def _gzip(self, data: bytes) -> Iterator[bytes]:
        while data:
            engine = zlib.decompressobj(wbits=31)
            while not engine.eof:
                data = data or self._needed()
                yield engine.decompress(data, _CHUNK)
                data = engine.unconsumed_tail
            data = (engine.unused_data or self._more()).lstrip(b"\0")  # padding is allowed

    def _bzip2(self, data: bytes) -> Iterator[bytes]:
        while data:
            engine = bz2.BZ2Decompressor()
            yield from self._steps(engine, data)
            data = engine.unused_data or self._more()

    def _xz(self, data: bytes) -> Iterator[bytes]:
        while data:
            engine = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            yield from self._steps(engine, data)
            data = (engine.unused_data or self._more()).lstrip(b"\0")

    def _steps(
        self, engine: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes
    ) -> Iterator[bytes]:
        while not engine.eof:
            if engine.needs_input:
                data = data or self._needed()
            yield engine.decompress(data, _CHUNK)
            data = b""

    def _needed(self) -> bytes:
        data = self._more()
        if not data:
            raise EOFError("it ends too early")  # noqa: EM101, TRY003 - shown by readinto
        return data
