"""From the survey of an ELF file to the Program that the domain judges."""

import numpy as np
import numpy.typing as npt

from builder.adapters.audit import elf_tables
from builder.adapters.audit.code_map import CodeMap
from builder.adapters.audit.disassembler import CALL, LOAD, SLOT, Survey
from builder.adapters.audit.elf import ElfFile
from builder.domain.audit import features
from builder.domain.audit.guards import QUERY_SYMBOLS
from builder.domain.audit.program import Program, Start
from builder.domain.isa import IsaLevel

_MANY_EXPORTS = 4096  # an extension module exports few symbols: more are not searched for PyInit_


def build_program(elf: ElfFile, code: CodeMap, found: Survey) -> Program:
    """Gather what holds of every function, and what starts without a caller in this file."""
    islands = (found.bits & features.above(IsaLevel.V1)) != 0
    queries = _queries(elf, code)
    return Program(
        bits=found.bits.tolist(),
        known=code.functions.known.tolist(),
        sizes=(code.functions.stops - code.functions.starts).tolist(),
        in_tables=_in_tables(elf, code, islands),
        exported=_exported(code, islands),
        starts=_starts(elf, code),
        stripped=code.symbols.stripped,
        queries=frozenset(queries),
        querying=_querying(code, found, set(queries.values())),
    )


def _in_tables(elf: ElfFile, code: CodeMap, islands: npt.NDArray[np.bool_]) -> frozenset[int]:
    """Islands whose address the loader writes into data; GOT slots are found by their users."""
    table = code.relocations
    outside = np.ones(len(table.slots), dtype=bool)
    for section in elf.memory:
        if section.name.startswith(".got") or section.kind.endswith("_ARRAY"):
            outside &= (table.slots < section.address) | (table.slots >= section.end)
    at = code.index_of(table.targets[outside])
    at = at[at >= 0]
    return frozenset(at[islands[at]].tolist())


def _exported(code: CodeMap, islands: npt.NDArray[np.bool_]) -> frozenset[int]:
    rows = code.dynamic.rows
    at = code.index_of(rows["value"][elf_tables.exported(rows)].astype(np.uint64))
    at = at[at >= 0]
    return frozenset(at[islands[at]].tolist())


def _starts(elf: ElfFile, code: CodeMap) -> dict[int, Start]:
    addresses: list[tuple[int, Start]] = []
    if elf.head.kind == "ET_EXEC" or elf.section(".interp"):  # a library's e_entry means nothing
        addresses.append((elf.head.entry, Start.ENTRY))
    for table in (code.symbols, code.dynamic):
        addresses += [(int(a), Start.RESOLVER) for a in elf_tables.resolvers(table)]
    addresses += [(int(a), Start.RESOLVER) for a in code.relocations.resolvers]
    addresses += [(a, Start.MODULE) for a in _module_inits(elf, code)]
    addresses += [(a, Start.LOAD) for a in _load_time(elf, code)]
    wanted = np.array([address for address, _ in addresses], dtype=np.uint64)
    places = code.index_of(wanted).tolist()
    return {
        place: start
        for place, (address, start) in zip(places, addresses, strict=True)
        if place >= 0 and address
    }


def _queries(elf: ElfFile, code: CodeMap) -> dict[str, int]:
    """Return the imported symbols that tell CPU features, with their rows."""
    rows = code.dynamic.rows
    imported = np.flatnonzero((rows["section"] == 0) & (rows["name"] > 0)).tolist()
    named = ((elf.text_at(code.dynamic.names_at + int(rows["name"][at])), at) for at in imported)
    return {name: at for name, at in named if name in QUERY_SYMBOLS}


def _querying(code: CodeMap, found: Survey, symbols: set[int]) -> frozenset[int]:
    """Return who reads or calls imported symbols: through the GOT, or through a PLT entry."""
    table = code.relocations
    slots = set(table.slots[np.isin(table.symbols, list(symbols))].tolist()) if symbols else set()
    entries = [entry for entry, slot in code.stubs.items() if slot in slots]
    called = (found.kinds == CALL) & np.isin(found.targets, np.array(entries, dtype=np.uint64))
    through = (found.kinds == LOAD) | (found.kinds == SLOT)
    used = through & np.isin(found.targets, np.array(sorted(slots), dtype=np.uint64))
    users = found.sources[called | used]
    return frozenset(users[~code.plt[users]].tolist())


def _load_time(elf: ElfFile, code: CodeMap) -> list[int]:
    table = code.relocations
    found: list[int] = []
    for section in elf.sections:
        if section.kind in ("SHT_INIT_ARRAY", "SHT_PREINIT_ARRAY"):
            low, high = np.searchsorted(table.slots, [section.address, section.end])
            found += table.targets[low:high].tolist()
            if low == high:  # a program at fixed addresses needs no relocations
                words = elf.table(section, np.dtype([("word", "<u8")]))["word"]
                found += words.tolist()
        elif section.name == ".init":
            found.append(section.address)
    return found


def _module_inits(elf: ElfFile, code: CodeMap) -> list[int]:
    rows = code.dynamic.rows
    chosen = rows[elf_tables.exported(rows)]
    if len(chosen) > _MANY_EXPORTS:
        return []
    return [
        int(row["value"])
        for row in chosen
        if elf.text_at(code.dynamic.names_at + int(row["name"])).startswith("PyInit_")
    ]
