"""One ELF file read with bounds: headers by pyelftools, the long tables by numpy."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from builder.errors import VerificationError

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Result = TypeVar("Result")

MAGIC = b"\x7fELF"
SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
     ("size", "<u8")]
)  # fmt: skip
RELA = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])

_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC = 0x1, 0x2, 0x4
_PT_LOAD, _PF_X = "PT_LOAD", 0x1
_NOBITS = "SHT_NOBITS"
_ADDRESSES = 1 << 47  # of a process on x86-64
_LONGEST_NAME = 16384  # a mangled C++ name of torch reaches 6 kB
_MACHINES = {"EM_386": "i386", "EM_AARCH64": "aarch64", "EM_ARM": "arm", "EM_X86_64": "x86-64"}

# What pyelftools lets through on files that lie about their own tables.
READER_FAULTS = (
    ELFError, ConstructError, ValueError, KeyError, IndexError, TypeError, AttributeError,
    OverflowError, RecursionError, MemoryError, OSError, AssertionError,
)  # fmt: skip


class ElfError(VerificationError):
    """An ELF file that is truncated, or whose tables contradict the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Where one section (or, without section headers, one segment) lies."""

    name: str
    kind: str
    address: int
    offset: int
    size: int
    executable: bool
    writable: bool
    link: int

    @property
    def end(self) -> int:
        """Return the first address after it."""
        return self.address + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfHead:
    """What the header alone says."""

    bits: int
    machine: str
    kind: str  # ET_DYN, ET_EXEC, ET_REL, ET_CORE
    entry: int


class ElfFile:
    """An open ELF file; every fault of the file is an ElfError that names it."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or str(path)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise self.fault(error.strerror or "cannot be opened") from error
        self.length = self._file.seek(0, 2)
        self._file.seek(0)
        try:
            self._elf = self._guard(lambda: ELFFile(self._file))
        except ElfError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def fault(self, text: str) -> ElfError:
        """Make the error that names this file."""
        message = f"{self.name}: {text}"
        hint = "the file is damaged or no complete ELF file; install it anew, or leave it out"
        return ElfError(message, hint=hint)

    def _guard(self, read: Callable[[], Result]) -> Result:
        try:
            return read()
        except READER_FAULTS as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            message = f"not a readable ELF file ({text})"
            raise self.fault(message) from error

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`; less than that in the file is an ElfError."""
        if offset < 0 or size < 0 or offset + size > self.length:
            text = f"a table claims bytes {offset} to {offset + size} of a {self.length} byte file"
            raise self.fault(text)
        return os.pread(self._file.fileno(), size, offset)

    @cached_property
    def head(self) -> ElfHead:
        """Return class, machine, kind and entry address."""

        def read() -> ElfHead:
            header = self._elf.header
            machine = str(header["e_machine"])
            return ElfHead(
                bits=int(self._elf.elfclass),
                machine=_MACHINES.get(machine, machine.removeprefix("EM_").lower()),
                kind=str(header["e_type"]),
                entry=int(header["e_entry"]),
            )

        return self._guard(read)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Return the allocated sections and tables, in file order, all within the file."""
        found = self._guard(self._read_sections)
        for section in found:
            if section.end > _ADDRESSES:
                text = f"section {section.name!r} claims addresses up to {section.end:#x}"
                raise self.fault(text)
            if section.kind != _NOBITS and section.offset + section.size > self.length:
                text = f"section {section.name!r} ends at byte {section.offset + section.size}"
                msg = f"{text}, the file at {self.length}"
                raise self.fault(msg)
        return found

    def _read_sections(self) -> tuple[Section, ...]:
        if int(self._elf.header["e_shoff"]) == 0:
            return self._sections_of_segments()
        return tuple(
            Section(
                name=str(section.name),
                kind=str(section["sh_type"]),
                address=int(section["sh_addr"]),
                offset=int(section["sh_offset"]),
                size=int(section["sh_size"]),
                executable=_has(section["sh_flags"], _SHF_EXEC | _SHF_ALLOC),
                writable=_has(section["sh_flags"], _SHF_WRITE | _SHF_ALLOC),
                link=int(section["sh_link"]),
            )
            for section in self._elf.iter_sections()
        )

    def _sections_of_segments(self) -> tuple[Section, ...]:
        return tuple(
            Section(
                name=f"segment {number}",
                kind="SHT_PROGBITS",
                address=int(segment["p_vaddr"]),
                offset=int(segment["p_offset"]),
                size=int(segment["p_filesz"]),
                executable=bool(segment["p_flags"] & _PF_X),
                writable=bool(segment["p_flags"] & 0x2),
                link=0,
            )
            for number, segment in enumerate(self._elf.iter_segments())
            if segment["p_type"] == _PT_LOAD
        )

    def section(self, name: str) -> Section | None:
        """Return the first section of that name, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def table(self, section: Section | None, row: np.dtype[np.void]) -> npt.NDArray[np.void]:
        """Return a section as an array of `row`; an absent one is empty."""
        if section is None or section.kind == _NOBITS:
            return np.empty(0, dtype=row)
        whole = section.size - section.size % row.itemsize
        return np.frombuffer(self.read(section.offset, whole), dtype=row)

    def bytes_at(self, address: int, size: int) -> bytes:
        """Return initialised bytes by address; fewer than `size` at the end of a section."""
        for section in self.sections:
            if section.address <= address < section.end and section.kind != _NOBITS:
                start = section.offset + address - section.address
                return self.read(start, min(size, section.end - address))
        return b""

    @cached_property
    def code(self) -> tuple[Section, ...]:
        """Return the executable sections that hold bytes, by address."""
        found = (s for s in self.sections if s.executable and s.kind != _NOBITS and s.size)
        return tuple(sorted(found, key=lambda section: section.address))

    @cached_property
    def memory(self) -> tuple[Section, ...]:
        """Return the writable sections: data, bss and the GOT."""
        return tuple(section for section in self.sections if section.writable and section.size)

    @cached_property
    def build_id(self) -> str:
        """Return the GNU build-id in hex, or nothing."""
        note = self.section(".note.gnu.build-id")
        if note is None or not 16 <= note.size <= 256:
            return ""
        data = self.read(note.offset, note.size)
        name_size, size = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4))
        start = 12 + name_size + (-name_size % 4)
        return data[start : start + size].hex()

    @cached_property
    def isa_note(self) -> int | None:
        """Return the bits of GNU_PROPERTY_X86_ISA_1_NEEDED, None where there is no such note."""
        note = self.section(".note.gnu.property")
        if note is None or not 16 < note.size < 4096:
            return None
        data, at = self.read(note.offset, note.size), 16
        while at + 12 <= len(data):
            kind, size = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
            if kind == 0xC0008002:
                return int.from_bytes(data[at + 8 : at + 12], "little")
            at += 8 + size + (-size % 8)
        return None

    @cached_property
    def identity(self) -> str:
        """Name these bytes for a cache: build-id with a digest of the headers, else sha256.

        The section headers tell a stripped or patched copy, which keeps its build-id, apart.
        """
        offset = int(self._guard(lambda: self._elf.header["e_shoff"]))
        if self.build_id and 0 < offset < self.length:
            heads = hashlib.sha256(self.read(0, min(4096, self.length)))
            heads.update(self.read(offset, min(65536, self.length - offset)))
            heads.update(self.length.to_bytes(8, "little"))
            return f"{self.build_id}-{heads.hexdigest()[:16]}"
        self._file.seek(0)
        return "sha256-" + hashlib.file_digest(self._file, "sha256").hexdigest()

    def dynamic(self, *tags: str) -> tuple[str, ...]:
        """Return the strings of the dynamic section under `tags` (DT_SONAME, DT_NEEDED...)."""

        def read() -> tuple[str, ...]:
            found = self._elf.get_section_by_name(".dynamic")
            if found is None or not hasattr(found, "iter_tags"):
                return ()
            names = {tag: tag.removeprefix("DT_").lower() for tag in tags}
            return tuple(
                str(getattr(tag, names[tag.entry.d_tag]))
                for tag in found.iter_tags()
                if tag.entry.d_tag in names
            )

        return self._guard(read)

    def text_at(self, offset: int) -> str:
        """Return the zero-ended string at a file offset, cut at 16 kB."""
        for size in (256, _LONGEST_NAME):
            data = self.read(offset, max(0, min(size, self.length - offset)))
            if b"\0" in data or size == _LONGEST_NAME:
                return data.split(b"\0", 1)[0].decode("utf-8", "replace")
        return ""


def _has(flags: int, wanted: int) -> bool:
    return (int(flags) & wanted) == wanted
