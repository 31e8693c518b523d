"""The tables of an ELF file that tell where functions are and how they are reached."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.adapters.audit.elf import RELA, SYMBOL, U64, ElfFile, Section

_FUNC, _NOTYPE, _OBJECT, _FILE, _IFUNC = 2, 0, 1, 4, 10
_R_64, _R_GLOB_DAT, _R_JUMP_SLOT, _R_RELATIVE, _R_IRELATIVE = 1, 6, 7, 8, 37
_HIDDEN = (1, 2)  # STV_INTERNAL, STV_HIDDEN
_EH_TABLE = bytes((1, 0x1B, 0x03, 0x3B))  # version, and the encodings that ld, gold and lld write

Symbols = npt.NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class SymbolTable:
    """The symbols of .symtab, or of .dynsym in a stripped file."""

    rows: Symbols
    names_at: int  # file offset of the string table
    stripped: bool

    def kinds(self) -> npt.NDArray[np.uint8]:
        """Return the STT_ value of each row."""
        return np.asarray(self.rows["info"] & 15, dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Relocations:
    """Where the loader writes addresses: each array pair is (slot, target), sorted by slot."""

    slots: U64
    targets: U64  # 0 where the target is another file's
    symbols: npt.NDArray[np.uint32]  # row of .dynsym, 0 for none
    resolvers: U64  # functions that the loader runs to choose a target (IRELATIVE)


def read_symbols(elf: ElfFile) -> SymbolTable:
    """Read .symtab, or .dynsym where the file is stripped."""
    full, dynamic = elf.section(".symtab"), elf.section(".dynsym")
    section = full if full is not None and full.size else dynamic
    rows = elf.table(section, SYMBOL)
    return SymbolTable(rows=rows, names_at=_strings_of(elf, section), stripped=section is not full)


def read_dynamic_symbols(elf: ElfFile) -> SymbolTable:
    """Read .dynsym: what the loader sees."""
    section = elf.section(".dynsym")
    rows = elf.table(section, SYMBOL)
    return SymbolTable(rows=rows, names_at=_strings_of(elf, section), stripped=False)


def _strings_of(elf: ElfFile, section: Section | None) -> int:
    if section is None:
        return 0
    if section.link >= len(elf.sections):
        text = f"section {section.name!r} links to section {section.link}, which does not exist"
        raise elf.fault(text)
    return elf.sections[section.link].offset


def names(elf: ElfFile, table: SymbolTable, rows: npt.NDArray[np.intp]) -> list[bytes]:
    """Return the names of rows of a table; one that leads out of the string table is empty."""
    section = next((s for s in elf.sections if s.offset == table.names_at and s.size), None)
    strings = elf.read(section.offset, section.size) if section is not None else b""
    return [strings[at : strings.find(b"\0", at)] for at in table.rows["name"][rows].tolist()]


def exported(symbols: Symbols) -> npt.NDArray[np.bool_]:
    """Tell which rows other files can bind to: defined, global or weak, not hidden."""
    binding, visibility = symbols["info"] >> 4, symbols["other"] & 3
    found = (symbols["section"] != 0) & (binding > 0) & ~np.isin(visibility, _HIDDEN)
    return np.asarray(found, dtype=bool)


def functions(table: SymbolTable, code: tuple[Section, ...]) -> npt.NDArray[np.intp]:
    """Return the rows that name code, one per address (the most telling), by address."""
    rows, kinds = table.rows, table.kinds()
    named = np.isin(kinds, (_FUNC, _NOTYPE, _IFUNC)) & (rows["section"] != 0)
    inside = np.zeros(len(rows), dtype=bool)
    for section in code:
        inside |= (rows["value"] >= section.address) & (rows["value"] < section.end)
    picked = np.flatnonzero(named & inside)
    chosen = rows[picked]
    worth = (
        (kinds[picked] != _NOTYPE).astype(int) * 4
        + (chosen["size"] > 0) * 2
        + ((chosen["info"] >> 4) > 0)
    )
    order = np.lexsort((-worth, chosen["value"]))
    picked = picked[order]
    first = np.ones(len(picked), dtype=bool)
    first[1:] = rows["value"][picked[1:]] != rows["value"][picked[:-1]]
    return picked[first]


def data_objects(table: SymbolTable, code: tuple[Section, ...]) -> tuple[U64, U64]:
    """Return starts and ends of data that symbols place inside code."""
    rows = table.rows[(table.kinds() == _OBJECT) & (table.rows["size"] > 0)]
    inside = np.zeros(len(rows), dtype=bool)
    for section in code:
        inside |= (rows["value"] >= section.address) & (rows["value"] < section.end)
    rows = rows[inside]
    return rows["value"].astype(np.uint64), (rows["value"] + rows["size"]).astype(np.uint64)


def units(table: SymbolTable) -> npt.NDArray[np.int64]:
    """Return, for each local symbol, the row of the STT_FILE symbol before it; -1 for others."""
    places = np.arange(len(table.rows))
    last = np.maximum.accumulate(np.where(table.kinds() == _FILE, places, -1))
    return np.where((table.rows["info"] >> 4) == 0, last, -1)


def resolvers(table: SymbolTable) -> U64:
    """Return the addresses of the STT_GNU_IFUNC symbols: functions that choose a function."""
    return np.asarray(table.rows["value"][table.kinds() == _IFUNC], dtype=np.uint64)


def frames(elf: ElfFile) -> tuple[U64, U64]:
    """Return starts and sizes of the functions that .eh_frame_hdr lists; size 0 is unknown."""
    header, body = elf.section(".eh_frame_hdr"), elf.section(".eh_frame")
    empty = np.empty(0, dtype=np.uint64)
    if header is None or header.size < 12 or header.kind == "SHT_NOBITS":
        return empty, empty
    data = elf.read(header.offset, header.size)
    if data[:4] != _EH_TABLE:
        return empty, empty
    count = min(int.from_bytes(data[8:12], "little"), (len(data) - 12) // 8)
    pairs = np.frombuffer(data, dtype="<i4", count=count * 2, offset=12).reshape(-1, 2)
    places = pairs.astype(np.int64) + header.address
    return places[:, 0].astype(np.uint64), _frame_sizes(elf, body, places)


def _frame_sizes(elf: ElfFile, body: Section | None, places: npt.NDArray[np.int64]) -> U64:
    """Read pc_range of each FDE, where its pc_begin (pcrel, 4 bytes) confirms the encoding."""
    sizes = np.zeros(len(places), dtype=np.uint64)
    if body is None or body.size < 16 or body.kind == "SHT_NOBITS":
        return sizes
    data = np.frombuffer(elf.read(body.offset, body.size), dtype=np.uint8)
    at = places[:, 1] - body.address + 8
    usable = (at >= 8) & (at + 8 <= len(data))
    begin = gather(data, np.where(usable, at, 0), 4).astype(np.int32).astype(np.int64)
    confirmed = usable & (begin + places[:, 1] + 8 == places[:, 0])
    sizes[confirmed] = gather(data, at[confirmed] + 4, 4)
    return sizes


def gather(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], width: int) -> U64:
    """Read little-endian numbers of `width` bytes at the places `at`."""
    value = np.zeros(len(at), dtype=np.uint64)
    for place in range(width):
        value |= data[at + place].astype(np.uint64) << np.uint64(8 * place)
    return value


def relocations(elf: ElfFile, dynamic: Symbols) -> Relocations:
    """Read every RELA and RELR table that the loader applies."""
    tables = (elf.table(s, RELA) for s in elf.sections if s.kind == "SHT_RELA")
    every = np.concatenate([np.empty(0, dtype=RELA), *tables])
    chosen = every["addend"][every["type"] == _R_IRELATIVE].astype(np.uint64)
    rows = every[np.isin(every["type"], (_R_64, _R_GLOB_DAT, _R_JUMP_SLOT, _R_RELATIVE))]
    known = rows["symbol"] < max(len(dynamic), 1)
    rows = rows[known]
    targets = rows["addend"].astype(np.uint64)
    if len(dynamic):
        symbols = dynamic[rows["symbol"]]
        defined = (rows["symbol"] > 0) & (symbols["section"] != 0)
        base = np.where(defined, symbols["value"], 0).astype(np.uint64)
        named = rows["type"] != _R_RELATIVE
        targets = np.where(named, np.where(defined, base + targets, 0), targets)
    packed_slots, packed_targets = _packed(elf)
    slots = np.concatenate([rows["offset"].astype(np.uint64), packed_slots])
    targets = np.concatenate([targets.astype(np.uint64), packed_targets])
    names = np.concatenate([rows["symbol"], np.zeros(len(packed_slots), dtype=np.uint32)])
    order = np.argsort(slots, kind="stable")
    return Relocations(
        slots=slots[order], targets=targets[order], symbols=names[order], resolvers=chosen
    )


def _packed(elf: ElfFile) -> tuple[U64, U64]:
    """Expand RELR: relative relocations as bitmaps, whose targets already stand in the file."""
    section = elf.section(".relr.dyn")
    words = elf.table(section, np.dtype([("word", "<u8")]))["word"].tolist()
    slots: list[int] = []
    base = 0
    for word in words:
        if word & 1 == 0:
            slots.append(word)
            base = word + 8
        else:
            slots += [base + 8 * bit for bit in range(63) if word >> (bit + 1) & 1]
            base += 63 * 8
    values = [int.from_bytes(elf.bytes_at(slot, 8), "little") for slot in slots]
    return np.array(slots, dtype=np.uint64), np.array(values, dtype=np.uint64)
