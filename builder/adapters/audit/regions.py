"""Executable bytes cut into regions: functions, and what no table names."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.adapters.audit import elf_tables
from builder.adapters.audit.elf import U64, ElfFile, Section
from builder.adapters.audit.elf_tables import SymbolTable

# Shorter stretches between functions are alignment padding; they are decoded with what precedes.
_SHORTEST_GAP = 16
_NOTYPE = 0
_LONGEST = 1 << 47
INDEX = npt.NDArray[np.int64]
FLAGS = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Stretches of code by address, each array with one entry a region."""

    starts: U64
    ends: U64  # where the next begins
    stops: U64  # where the function itself ends, as far as a table says: padding follows
    known: FLAGS  # a symbol or frame description names it
    data: FLAGS  # a symbol says that it is no code
    rows: INDEX  # its symbol, -1 for none

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, chosen: FLAGS | INDEX) -> "Regions":
        """Return some of the regions, or all in another order."""
        return Regions(
            starts=self.starts[chosen],
            ends=self.ends[chosen],
            stops=self.stops[chosen],
            known=self.known[chosen],
            data=self.data[chosen],
            rows=self.rows[chosen],
        )


def cut(elf: ElfFile, symbols: SymbolTable) -> Regions:
    """Cut the code of `elf` at every symbol and frame description, and where each ends."""
    frame_starts, frame_sizes = elf_tables.frames(elf)
    rows = elf_tables.functions(symbols, elf.code)
    rows = _without_inner_labels(symbols, rows, frame_starts, frame_sizes)
    named = symbols.rows["value"][rows].astype(np.uint64)
    data_starts, data_ends = elf_tables.data_objects(symbols, elf.code)
    sections = np.array([section.address for section in elf.code], dtype=np.uint64)
    framed = _inside(frame_starts, elf)
    edges = distinct(
        np.concatenate([named, framed, data_starts, _inside(data_ends, elf), sections])
    )
    sizes = np.zeros(len(edges), dtype=np.uint64)
    _raise_to(sizes, edges, named, symbols.rows["size"][rows].astype(np.uint64))
    _raise_to(sizes, edges, frame_starts, frame_sizes)
    known = _marked(edges, named) | _marked(edges, framed)
    row_of = np.full(len(edges), -1, dtype=np.int64)
    row_of[np.searchsorted(edges, named)] = rows
    ends = _ends(edges, elf.code)
    stops = np.where(sizes > 0, edges + np.minimum(sizes, ends - edges), ends)
    return _with_gaps(
        Regions(
            starts=edges,
            ends=ends,
            stops=stops,
            known=known,
            data=_marked(edges, data_starts) & ~known,
            rows=row_of,
        )
    )


def owners(regions: Regions, symbols: SymbolTable) -> INDEX:
    """Return for each region the one that it is a part of: mostly itself.

    Hand assembly is full of local labels without a type; where the function before them says no
    size, they are parts of it.
    """
    count = len(regions)
    kinds, bindings = symbols.kinds(), symbols.rows["info"] >> 4
    named = regions.rows >= 0
    at = np.maximum(regions.rows, 0)
    if not len(symbols.rows):
        return np.arange(count)
    label = named & (kinds[at] == _NOTYPE) & (bindings[at] == 0)
    open_end = regions.known & (symbols.rows["size"][at] == 0)
    before = np.roll(open_end, 1) & (np.roll(regions.ends, 1) == regions.starts)
    before[:1] = False
    part = label & before
    return np.maximum.accumulate(np.where(part, 0, np.arange(count)))


def merge(regions: Regions, owner: INDEX) -> tuple[Regions, INDEX]:
    """Return the regions with their parts, and for each region its place among them."""
    first = owner == np.arange(len(regions))
    place = (np.cumsum(first) - 1).astype(np.int64)
    last = np.append(np.flatnonzero(first)[1:] - 1, len(regions) - 1)[: int(first.sum())]
    merged = regions.take(first)
    return (
        Regions(
            starts=merged.starts,
            ends=regions.ends[last],
            stops=np.maximum(merged.stops, regions.stops[last]),
            known=merged.known,
            data=merged.data,
            rows=merged.rows,
        ),
        place,
    )


def within(addresses: U64, sections: tuple[Section, ...]) -> FLAGS:
    """Tell which addresses lie in some section."""
    keep = np.zeros(len(addresses), dtype=bool)
    for section in sections:
        keep |= (addresses >= section.address) & (addresses < section.end)
    return keep


def distinct(addresses: U64) -> U64:
    """Return each address once, sorted; np.unique hashes first, which takes longer."""
    found = np.sort(addresses)
    first = np.append(True, found[1:] > found[:-1])[: len(found)]
    return np.asarray(found[first], dtype=np.uint64)


def _marked(edges: U64, chosen: U64) -> FLAGS:
    """Tell which edges are among the chosen ones; all of those must be edges."""
    flags = np.zeros(len(edges), dtype=bool)
    flags[np.searchsorted(edges, chosen)] = True
    return flags


def _inside(addresses: U64, elf: ElfFile) -> U64:
    return addresses[within(addresses, elf.code)]


def _without_inner_labels(
    symbols: SymbolTable, rows: npt.NDArray[np.intp], starts: U64, sizes: U64
) -> npt.NDArray[np.intp]:
    """Drop the untyped labels that lie inside a function: they are targets of its own jumps."""
    values, typed = symbols.rows["value"][rows], symbols.kinds()[rows] != _NOTYPE
    begin = np.concatenate([values[typed].astype(np.uint64), starts])
    length = np.concatenate([symbols.rows["size"][rows][typed].astype(np.uint64), sizes])
    end = begin + np.minimum(length, np.uint64(_LONGEST))
    if not len(begin):
        return rows
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order])
    before = np.searchsorted(begin, values, side="left").astype(np.int64) - 1
    inner = (before >= 0) & (values < end[np.maximum(before, 0)])
    return np.asarray(rows[typed | ~inner], dtype=np.intp)


def _raise_to(sizes: U64, edges: U64, starts: U64, values: U64) -> None:
    if not len(edges):
        return
    at = np.minimum(np.searchsorted(edges, starts), len(edges) - 1)
    match = edges[at] == starts
    np.maximum.at(sizes, at[match], values[match])


def _ends(edges: U64, code: tuple[Section, ...]) -> U64:
    """End each region where the next begins, or where its section ends."""
    ends = np.append(edges[1:], np.uint64(0))[: len(edges)]
    for section in code:
        last = np.searchsorted(edges, np.uint64(section.end), side="left") - 1
        if last >= 0:
            ends[last] = section.end
    return np.maximum(ends, edges)  # sections that overlap end somewhere before they begin


def _with_gaps(regions: Regions) -> Regions:
    """Add a region for each stretch behind a function's end that is more than padding."""
    gaps = regions.known & (regions.stops + np.uint64(_SHORTEST_GAP) < regions.ends)
    count = int(gaps.sum())
    no, none = np.zeros(count, dtype=bool), np.full(count, -1, dtype=np.int64)
    added = Regions(
        starts=np.concatenate([regions.starts, regions.stops[gaps]]),
        ends=np.concatenate([np.where(gaps, regions.stops, regions.ends), regions.ends[gaps]]),
        stops=np.concatenate([regions.stops, regions.ends[gaps]]),
        known=np.concatenate([regions.known, no]),
        data=np.concatenate([regions.data, no]),
        rows=np.concatenate([regions.rows, none]),
    )
    return added.take(np.argsort(added.starts, kind="stable").astype(np.int64))
