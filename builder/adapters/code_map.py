"""The executable bytes of an ELF file cut into regions: functions, and what no table names."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.adapters import elf_tables
from builder.adapters.elf import U64, ElfFile, Section
from builder.adapters.elf_tables import Relocations, SymbolTable

# Shorter stretches between functions are alignment padding; they are decoded with what precedes.
_SHORTEST_GAP = 16
_LONGEST_REGION = 16 << 20  # only code that no table describes is longer
_NOTYPE = 0
INDEX = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CodeMap:
    """Regions by address; `rows` gives the symbol of a region (-1: none), `known` a function."""

    starts: U64
    ends: U64
    known: npt.NDArray[np.bool_]
    data: npt.NDArray[np.bool_]
    plt: npt.NDArray[np.bool_]
    rows: INDEX
    symbols: SymbolTable
    dynamic: SymbolTable
    relocations: Relocations
    stubs: dict[int, int]  # PLT entry -> slot of the GOT that it jumps through

    def index_of(self, addresses: U64) -> INDEX:
        """Return the region that starts exactly at each address, -1 for none.

        An address inside a region that no table names counts for that region.
        """
        if not len(self.starts):
            return np.full(len(addresses), -1, dtype=np.int64)
        at = np.searchsorted(self.starts, addresses, side="right").astype(np.int64) - 1
        safe = np.maximum(at, 0)
        exact = self.starts[safe] == addresses
        loose = ~self.known[safe] & ~self.data[safe] & (addresses < self.ends[safe])
        return np.where((at >= 0) & (exact | loose), at, -1)


def read_code_map(elf: ElfFile) -> CodeMap:
    """Cut the code of `elf` at every symbol and frame description, and where both end."""
    symbols = elf_tables.read_symbols(elf)
    dynamic = elf_tables.read_dynamic_symbols(elf)
    relocations = elf_tables.relocations(elf, dynamic.rows)
    cut = _cut(elf, symbols)
    return CodeMap(
        starts=cut[0],
        ends=cut[1],
        known=cut[2],
        data=cut[3],
        plt=_within(cut[0], tuple(s for s in elf.code if s.name.startswith(".plt"))),
        rows=cut[4],
        symbols=symbols,
        dynamic=dynamic,
        relocations=relocations,
        stubs=_stubs(elf),
    )


def _cut(
    elf: ElfFile, symbols: SymbolTable
) -> tuple[U64, U64, npt.NDArray[np.bool_], npt.NDArray[np.bool_], INDEX]:
    frame_starts, frame_sizes = elf_tables.frames(elf)
    rows = elf_tables.functions(symbols, elf.code)
    rows = _without_labels(symbols, rows, frame_starts, frame_sizes)
    named = symbols.rows["value"][rows].astype(np.uint64)
    data_starts, data_ends = elf_tables.data_objects(symbols, elf.code)
    edges = np.unique(
        np.concatenate(
            [
                named,
                _inside(frame_starts, elf.code),
                data_starts,
                _inside(data_ends, elf.code),
                np.array([section.address for section in elf.code], dtype=np.uint64),
            ]
        )
    )
    sizes = np.zeros(len(edges), dtype=np.uint64)
    _raise_to(sizes, edges, named, symbols.rows["size"][rows].astype(np.uint64))
    _raise_to(sizes, edges, frame_starts, frame_sizes)
    known = np.isin(edges, named) | np.isin(edges, frame_starts)
    data = np.isin(edges, data_starts) & ~known
    row_of = np.full(len(edges), -1, dtype=np.int64)
    row_of[np.searchsorted(edges, named)] = rows
    return _with_gaps(edges, _ends(edges, elf.code), (sizes, known, data, row_of))


def _without_labels(
    symbols: SymbolTable, rows: npt.NDArray[np.intp], starts: U64, sizes: U64
) -> npt.NDArray[np.intp]:
    """Drop the untyped labels that lie inside a function: they are targets of its own jumps."""
    values, typed = symbols.rows["value"][rows], symbols.kinds()[rows] != _NOTYPE
    begin = np.concatenate([values[typed].astype(np.uint64), starts])
    end = begin + np.concatenate([symbols.rows["size"][rows][typed].astype(np.uint64), sizes])
    if not len(begin):
        return rows
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order])
    before = np.searchsorted(begin, values, side="left").astype(np.int64) - 1
    within = (before >= 0) & (values < end[np.maximum(before, 0)])
    return np.asarray(rows[typed | ~within], dtype=np.intp)


def _within(addresses: U64, sections: tuple[Section, ...]) -> npt.NDArray[np.bool_]:
    keep = np.zeros(len(addresses), dtype=bool)
    for section in sections:
        keep |= (addresses >= section.address) & (addresses < section.end)
    return keep


def _inside(addresses: U64, code: tuple[Section, ...]) -> U64:
    return addresses[_within(addresses, code)]


def _raise_to(sizes: U64, edges: U64, starts: U64, values: U64) -> None:
    if not len(edges):
        return
    at = np.minimum(np.searchsorted(edges, starts), len(edges) - 1)
    match = edges[at] == starts
    np.maximum.at(sizes, at[match], values[match])


def _ends(edges: U64, code: tuple[Section, ...]) -> U64:
    """End each region where the next begins, or where its section ends."""
    ends = np.append(edges[1:], np.uint64(0))
    for section in code:
        last = np.searchsorted(edges, np.uint64(section.end), side="left") - 1
        if last >= 0:
            ends[last] = section.end
    return ends


def _with_gaps(
    edges: U64,
    ends: U64,
    columns: tuple[U64, npt.NDArray[np.bool_], npt.NDArray[np.bool_], INDEX],
) -> tuple[U64, U64, npt.NDArray[np.bool_], npt.NDArray[np.bool_], INDEX]:
    """Add a region for each stretch behind a function's end that is more than padding."""
    sizes, known, data, rows = columns
    stops = edges + sizes
    gaps = known & (sizes > 0) & (stops + np.uint64(_SHORTEST_GAP) < ends)
    starts = np.concatenate([edges, stops[gaps]])
    all_ends = np.concatenate([np.where(gaps, stops, ends), ends[gaps]])
    count = int(gaps.sum())
    order = np.argsort(starts, kind="stable")
    no, none = np.zeros(count, dtype=bool), np.full(count, -1, dtype=np.int64)
    return (
        starts[order],
        all_ends[order],
        np.concatenate([known, no])[order],
        np.concatenate([data, no])[order],
        np.concatenate([rows, none])[order],
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
