"""Where the functions of an ELF file are, and what the loader makes of its tables."""

from dataclasses import dataclass

import numpy as np

from builder.adapters.audit import elf_tables, regions
from builder.adapters.audit.closed_code import ClosedCode, find_closed_code
from builder.adapters.audit.elf import U64, ElfFile
from builder.adapters.audit.elf_tables import Relocations, SymbolTable
from builder.adapters.audit.regions import FLAGS, INDEX, Regions


@dataclass(frozen=True, kw_only=True)
class CodeMap:
    """The regions as they are decoded, and the functions that are judged: regions with parts."""

    regions: Regions
    functions: Regions
    places: INDEX  # region -> function
    plt: FLAGS  # functions that are PLT entries
    symbols: SymbolTable
    dynamic: SymbolTable
    relocations: Relocations
    stubs: dict[int, int]  # PLT entry -> slot of the GOT that it jumps through
    closed: ClosedCode  # what may not be decoded

    def index_of(self, addresses: U64) -> INDEX:
        """Return the function that begins at each address, -1 for none.

        An address inside bytes that no table names counts for them.
        """
        cut = self.regions
        if not len(cut):
            return np.full(len(addresses), -1, dtype=np.int64)
        at = np.searchsorted(cut.starts, addresses, side="right").astype(np.int64) - 1
        safe = np.maximum(at, 0)
        exact = cut.starts[safe] == addresses
        loose = ~cut.known[safe] & ~cut.data[safe] & (addresses < cut.ends[safe])
        return np.where((at >= 0) & (exact | loose), self.places[safe], -1)

    def function_at(self, address: int) -> int:
        """Return the same for one address."""
        cut = self.regions
        at = int(np.searchsorted(cut.starts, np.uint64(address), side="right")) - 1
        if at < 0 or (address != cut.starts[at] and (cut.known[at] or cut.data[at])):
            return -1
        return int(self.places[at]) if address < cut.ends[at] else -1

    def around(self, address: int) -> int:
        """Return the function that holds an address, -1 for none."""
        at = int(np.searchsorted(self.functions.starts, np.uint64(address), side="right")) - 1
        return at if at >= 0 and address < int(self.functions.ends[at]) else -1


def read_code_map(elf: ElfFile) -> CodeMap:
    """Read the tables of `elf` that tell where functions are."""
    symbols = elf_tables.read_symbols(elf)
    dynamic = elf_tables.read_dynamic_symbols(elf)
    fine = regions.cut(elf, symbols)
    functions, places = regions.merge(fine, regions.owners(fine, symbols))
    plt = tuple(section for section in elf.code if section.name.startswith(".plt"))
    return CodeMap(
        regions=fine,
        functions=functions,
        places=places,
        plt=regions.within(functions.starts, plt),
        symbols=symbols,
        dynamic=dynamic,
        relocations=elf_tables.relocations(elf, dynamic.rows),
        stubs=_stubs(elf),
        closed=find_closed_code(elf, symbols, dynamic),
    )


def _stubs(elf: ElfFile) -> dict[int, int]:
    """Map the entries of .plt, .plt.got and .plt.sec to the slots that they jump through."""
    found: dict[int, int] = {}
    for section in elf.code:
        if not section.name.startswith(".plt"):
            continue
        data = np.frombuffer(elf.read(section.offset, section.size), dtype=np.uint8)
        at = np.flatnonzero((data[:-5] == 0xFF) & (data[1:-4] == 0x25)).astype(np.int64)
        shift = elf_tables.gather(data, at + 2, 4).astype(np.int32).astype(np.int64)
        slots = section.address + at + 6 + shift
        for place, slot in zip((at + section.address).tolist(), slots.tolist(), strict=True):
            if slot < 0:
                continue
            # A jump may stand behind ENDBR64 (4 bytes) and a BND prefix (1 byte).
            for entry in (place, place - 4, place - 5):
                found.setdefault(entry, slot)
    return found
