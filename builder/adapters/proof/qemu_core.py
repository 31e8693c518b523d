"""The core file that qemu-user writes: which signal, at which instruction, of which library."""

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from builder.adapters.audit.elf import READER_FAULTS

SIGILL = 4
_NT_PRSTATUS, _NT_AUXV = 1, 6
_SIGNAL_AT, _RIP_AT = 12, 112 + 16 * 8  # in struct elf_prstatus of x86-64
_AT_PHDR, _AT_PHNUM = 3, 5
_PT_DYNAMIC, _PT_PHDR, _DT_DEBUG = 2, 6, 21
_MOST_LIBRARIES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """Where a program was ended; `library` is empty while the loader's list is not there yet."""

    signal: int
    address: int
    library: str
    base: int  # what the loader added to the library's own addresses


def read_core(path: Path) -> Crash | None:
    """Read a core file; None for one that is cut short or of another kind."""
    try:
        with path.open("rb") as file:
            return _Core(ELFFile(file)).crash()
    except READER_FAULTS:
        return None


class _Core:
    def __init__(self, elf: ELFFile) -> None:
        self._elf = elf
        self._loads = [
            (int(s["p_vaddr"]), int(s["p_filesz"]), int(s["p_offset"]))
            for s in elf.iter_segments()
            if s["p_type"] == "PT_LOAD"
        ]
        self._notes: dict[int, bytes] = {}
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_NOTE":
                self._read_notes(int(segment["p_offset"]), int(segment["p_filesz"]))

    def _read_notes(self, offset: int, size: int) -> None:
        data = self._bytes(offset, size)
        at = 0
        while at + 12 <= len(data):
            name, length, kind = (_int(data, at + k, 4) for k in (0, 4, 8))
            start = at + 12 + name + (-name % 4)
            self._notes.setdefault(kind, data[start : start + length])
            at = start + length + (-length % 4)

    def crash(self) -> Crash:
        """Return the signal and where the first thread, the one that got it, stood."""
        status = self._notes[_NT_PRSTATUS]
        address = _int(status, _RIP_AT, 8)
        below = [(base, name) for base, name in self._libraries() if base <= address]
        base, name = max(below, default=(0, ""))
        return Crash(signal=_int(status, _SIGNAL_AT, 2), address=address, library=name, base=base)

    def _libraries(self) -> list[tuple[int, str]]:
        """Walk the loader's list of what it loaded, from the program's DT_DEBUG entry."""
        vector = self._notes.get(_NT_AUXV, b"")
        auxiliary = {_int(vector, at, 8): _int(vector, at + 8, 8)
                     for at in range(0, len(vector) - 15, 16)}  # fmt: skip
        headers, count = auxiliary.get(_AT_PHDR, 0), auxiliary.get(_AT_PHNUM, 0)
        rows = [self._at(headers + 56 * number, 56) for number in range(min(count, 64))]
        kinds = {_int(row, 0, 4): _int(row, 16, 8) for row in rows}
        if _PT_DYNAMIC not in kinds:
            return []
        base = headers - kinds.get(_PT_PHDR, headers)
        entry = self._debug(base + kinds[_PT_DYNAMIC])
        link = _int(self._at(entry + 8, 8), 0, 8) if entry else 0
        found: list[tuple[int, str]] = []
        while link and len(found) < _MOST_LIBRARIES:
            row = self._at(link, 32)
            text = self._at(_int(row, 8, 8), 512).split(b"\0")[0].decode("utf-8", "replace")
            found.append((_int(row, 0, 8), text))
            link = _int(row, 24, 8)
        return found

    def _debug(self, dynamic: int) -> int:
        for number in range(512):
            row = self._at(dynamic + 16 * number, 16)
            if _int(row, 0, 8) == _DT_DEBUG:
                return _int(row, 8, 8)
            if not any(row):
                return 0
        return 0

    def _at(self, address: int, size: int) -> bytes:
        for start, length, offset in self._loads:
            if start <= address < start + length:
                return self._bytes(offset + address - start, min(size, start + length - address))
        return b""

    def _bytes(self, offset: int, size: int) -> bytes:
        self._elf.stream.seek(offset)
        return bytes(self._elf.stream.read(size))


def _int(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")
