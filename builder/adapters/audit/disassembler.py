"""Every region of an ELF file decoded by iced-x86: what it needs, calls and refers to."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from iced_x86 import Code, Decoder

from builder.adapters.audit.code_map import CodeMap
from builder.adapters.audit.elf import U64, ElfFile
from builder.adapters.audit.elf_tables import gather
from builder.adapters.audit.instruction_set import BITS_BY_CODE, NOTABLE_CODES
from builder.adapters.audit.regions import INDEX
from builder.domain.audit import features

_CHUNK = 4 << 20
_BITS = 64
_CODE_OF = attrgetter("code")
_LONGEST_OPERAND = 16
CALL, TAKE, LOAD, SLOT = range(
    4
)  # direct branch, LEA of code, data operand, branch through the GOT
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class _Task:
    path: Path
    offset: int
    address: int
    size: int
    starts: U64
    ends: U64
    stops: U64
    first: int
    code: Spans
    memory: Spans


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one pass over all code found; `sources` are functions, `targets` addresses."""

    bits: npt.NDArray[np.int64]  # by function
    sources: INDEX
    targets: U64
    kinds: npt.NDArray[np.uint8]


def survey(elf: ElfFile, code: CodeMap, pool: Executor | None) -> Survey:
    """Decode every region once, in `pool` where there is one, and collect candidate references.

    References are found by their byte patterns at every offset: none is missed, and the few that
    are no instruction are sorted out when a judgement rests on them.
    """
    tasks = list(_tasks(elf, code))
    results = list(map(_decode, tasks) if pool is None else pool.map(_decode, tasks))
    empty = np.empty(0, dtype=np.int64)
    bits = np.zeros(len(code.regions), dtype=np.int64)
    for task, result in zip(tasks, results, strict=True):
        bits[task.first : task.first + len(task.starts)] = result[0]
    sources = np.concatenate([empty, *(result[1] for result in results)])
    targets = np.concatenate([empty.astype(np.uint64), *(result[2] for result in results)])
    kinds = np.concatenate([empty.astype(np.uint8), *(result[3] for result in results)])
    open_code = ~code.closed.holds(code.regions.starts)
    if not open_code.all():
        keep = open_code[sources]
        sources, targets, kinds = sources[keep], targets[keep], kinds[keep]
    return Survey(
        bits=_by_function(code, bits), sources=code.places[sources], targets=targets, kinds=kinds
    )


def _by_function(code: CodeMap, bits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(bits):
        return bits
    first = np.flatnonzero(np.diff(code.places, prepend=-1))
    return np.bitwise_or.reduceat(bits, first)


def _tasks(elf: ElfFile, code: CodeMap) -> Iterator[_Task]:
    cut = code.regions
    passed_over = cut.data | code.closed.holds(cut.starts)
    for section in elf.code:
        first, last = np.searchsorted(cut.starts, [section.address, section.end])
        while first < last:
            limit = cut.starts[first] + np.uint64(_CHUNK)
            stop = max(int(np.searchsorted(cut.starts, limit)), first + 1)
            stop = min(stop, int(last))
            chosen = slice(int(first), stop)
            begin, end = int(cut.starts[first]), int(cut.ends[stop - 1])
            yield _Task(
                path=elf.path,
                offset=section.offset + begin - section.address,
                address=begin,
                size=end - begin,
                starts=cut.starts[chosen],
                ends=np.where(passed_over[chosen], cut.starts[chosen], cut.ends[chosen]),
                stops=cut.stops[chosen],
                first=int(first),
                code=tuple((s.address, s.end) for s in elf.code),
                memory=tuple((s.address, s.end) for s in elf.memory),
            )
            first = stop


def _decode(task: _Task) -> tuple[npt.NDArray[np.int64], INDEX, U64, npt.NDArray[np.uint8]]:
    with task.path.open("rb") as file:
        file.seek(task.offset)
        data = file.read(task.size)
    bits = np.zeros(len(task.starts), dtype=np.int64)
    starts = (task.starts - np.uint64(task.address)).tolist()
    ends = (task.ends - np.uint64(task.address)).tolist()
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        notable = NOTABLE_CODES.intersection(map(_CODE_OF, Decoder(_BITS, data[start:end])))
        if notable:
            found = 0
            for code in notable:
                found |= BITS_BY_CODE[code]
            if found & features.NOT_CODE:
                found = _look_again(task, data, place, found)
            bits[place] = found
    padded = b"\x90" + data + bytes(_LONGEST_OPERAND)  # so that both ends are looked at too
    at, targets, kinds = _references(task, np.frombuffer(padded, dtype=np.uint8))
    sources = np.searchsorted(task.starts, at, side="right").astype(np.int64) - 1 + task.first
    return bits, sources, targets, kinds


def _look_again(task: _Task, data: bytes, place: int, found: int) -> int:
    """Take NOT_CODE back where only the padding behind a function's end is no instruction."""
    start, stop, end = (
        int(part[place]) - task.address for part in (task.starts, task.stops, task.ends)
    )
    if stop >= end:
        return found
    codes = set(map(_CODE_OF, Decoder(_BITS, data[start:stop])))
    return found & ~features.NOT_CODE if Code.INVALID not in codes else found


def _references(task: _Task, data: npt.NDArray[np.uint8]) -> tuple[U64, U64, npt.NDArray[np.uint8]]:
    """Find operands relative to the instruction pointer, at every byte offset.

    A load's target is kept as if nothing followed its displacement: an immediate operand makes
    the true one 1 or 4 bytes later.
    """
    before, this = data[:-6], data[1:-5]
    relative = (this & 0xC7) == 0x05  # ModRM: [rip + disp32]
    jump = ((before == 0x0F) & ((this & 0xF0) == 0x80)) | ((this & 0xFE) == 0xE8)
    slot = (before == 0xFF) & ((this == 0x15) | (this == 0x25))
    parts = [
        _targets(task, data, jump, task.code),
        _targets(task, data, relative & (before == 0x8D), task.code),
        _targets(task, data, relative & ~slot, task.memory),
        _targets(task, data, slot, task.memory),
    ]
    places, targets = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    kinds = [np.full(len(part[0]), kind, dtype=np.uint8) for kind, part in enumerate(parts)]
    return places, targets, np.concatenate(kinds)


def _targets(
    task: _Task, data: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], within: Spans
) -> tuple[U64, U64]:
    """Return the places where `mask` holds and the disp32 behind leads `within` some span."""
    at = np.flatnonzero(mask).astype(np.int64) + 1  # of the ModRM or opcode byte before it
    shift = gather(data, at + 1, 4).astype(np.uint32).astype(np.int32).astype(np.int64)
    targets = (at + 4 + task.address + shift).astype(np.uint64)
    keep = np.zeros(len(at), dtype=bool)
    for begin, end in within:
        keep |= (targets >= begin) & (targets < end)
    return (at[keep] - 1 + task.address).astype(np.uint64), targets[keep]
