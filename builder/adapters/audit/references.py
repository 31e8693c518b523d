"""Candidate references between the functions of an ELF file, as compressed rows."""

from dataclasses import dataclass, replace

import numpy as np

from builder.adapters.audit.code_map import CodeMap
from builder.adapters.audit.disassembler import CALL, LOAD, SLOT, TAKE, Survey
from builder.adapters.audit.elf import U64
from builder.adapters.audit.regions import INDEX

_IMMEDIATES = (0, 1, 2, 4)  # bytes that may stand between a displacement and the next instruction


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Numbers grouped by a key: the values of key k are values[first[k]:first[k + 1]]."""

    first: INDEX
    values: INDEX

    def of(self, key: int) -> list[int]:
        """Return the values of one key, sorted."""
        found: list[int] = self.values[self.first[key] : self.first[key + 1]].tolist()
        return found

    @classmethod
    def group(cls, keys: INDEX, values: INDEX, count: int) -> "Rows":
        """Group the distinct (key, value) pairs; keys lie in 0..count-1."""
        packed = np.sort(keys * count + values)  # np.unique hashes first, which takes longer
        packed = packed[np.diff(packed, prepend=-1) > 0]
        first = np.searchsorted(packed, np.arange(count + 1) * count).astype(np.int64)
        return cls(first=first, values=packed % max(count, 1))


@dataclass(frozen=True, kw_only=True)
class References:
    """Who may call whom, who may take whose address, and who has which data as an operand."""

    callees: Rows
    callers: Rows
    takers: Rows
    takes: Rows
    operands: U64  # addresses of data, sorted
    operand_users: INDEX

    def users(self, address: int) -> list[int]:
        """Return the functions with an operand at `address`, whatever immediate follows it."""
        found: set[int] = set()
        for width in _IMMEDIATES:
            shown = np.uint64(max(address - width, 0))
            low, high = np.searchsorted(self.operands, [shown, shown + np.uint64(1)])
            found.update(self.operand_users[low:high].tolist())
        return sorted(found)


def connect(code: CodeMap, found: Survey) -> References:
    """Resolve the survey's targets to functions, through PLT entries and GOT slots."""
    count = len(code.functions)
    found = _without_stubs(code, found)
    sources, targets = _calls(code, found)
    callees = Rows.group(sources, targets, count)
    callers = Rows.group(targets, sources, count)
    loads = found.kinds == LOAD
    pointed = through_slots(code, found.targets[loads])
    takes = found.kinds == TAKE
    taker = np.concatenate([found.sources[takes], found.sources[loads]])
    taken = code.index_of(np.concatenate([found.targets[takes], pointed]))
    good = taken >= 0
    data = np.concatenate([found.targets[loads], pointed[pointed > 0]])
    users = np.concatenate([found.sources[loads], found.sources[loads][pointed > 0]])
    order = np.argsort(data, kind="stable")
    return References(
        callees=callees,
        callers=callers,
        takers=Rows.group(taken[good], taker[good], count),
        takes=Rows.group(taker[good], taken[good], count),
        operands=data[order],
        operand_users=users[order],
    )


def _without_stubs(code: CodeMap, found: Survey) -> Survey:
    """Drop what PLT entries refer to: whoever calls an entry is followed through it."""
    keep = ~code.plt[found.sources] if len(found.sources) else np.empty(0, dtype=bool)
    return replace(
        found, sources=found.sources[keep], targets=found.targets[keep], kinds=found.kinds[keep]
    )


def _calls(code: CodeMap, found: Survey) -> tuple[INDEX, INDEX]:
    direct, indirect = found.kinds == CALL, found.kinds == SLOT
    targets = found.targets[direct]
    slots = _through_stubs(code, targets)
    stubbed = slots > 0
    targets[stubbed] = through_slots(code, slots[stubbed])
    sources = np.concatenate([found.sources[direct], found.sources[indirect]])
    targets = np.concatenate([targets, through_slots(code, found.targets[indirect])])
    at = code.index_of(targets)
    keep = (at >= 0) & (at != sources)
    return sources[keep], at[keep]


def _through_stubs(code: CodeMap, targets: U64) -> U64:
    """Return the GOT slot behind each PLT entry, 0 for an address that is none."""
    if not code.stubs:
        return np.zeros_like(targets)
    entries = np.array(sorted(code.stubs), dtype=np.uint64)
    slots = np.array([code.stubs[entry] for entry in sorted(code.stubs)], dtype=np.uint64)
    at = np.minimum(np.searchsorted(entries, targets), len(entries) - 1)
    return np.where(entries[at] == targets, slots[at], np.uint64(0))


def through_slots(code: CodeMap, slots: U64) -> U64:
    """Return the address that the loader writes into each slot, 0 where it writes none."""
    table = code.relocations
    if not len(table.slots):
        return np.zeros_like(slots)
    at = np.minimum(np.searchsorted(table.slots, slots), len(table.slots) - 1)
    return np.where(table.slots[at] == slots, table.targets[at], np.uint64(0))
