"""What runs without being called: constructors, resolvers, entries, and what they call at once."""

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol

from builder.domain.audit.guards import Guards
from builder.domain.audit.program import FunctionReader, Program, Start


class _Bench(Protocol):
    program: Program
    reader: FunctionReader
    over: list[bool]
    guards: Guards


def start_chains(bench: _Bench) -> dict[int, tuple[int, ...]]:
    """Map each function above the level that runs when the file is loaded to the way there.

    A way leads from what starts by itself to the caller; it is empty where the function itself
    starts. Direct calls are followed from static constructors; of a resolver and a program's entry
    only the function itself counts, since what they call is conditional. A Python module's
    initialisation is no such start: whether anybody imports the module is not known here.
    """
    starts = _all_starts(bench)
    found: dict[int, tuple[int, ...]] = {
        index: ()
        for index, start in starts.items()
        if bench.over[index]
        and start is not Start.MODULE
        and (start is Start.LOAD or bench.guards.signal(index) is None)
    }
    roots = [index for index, start in starts.items() if start is Start.LOAD]
    no_calls: set[tuple[int, int]] = set()
    while True:
        parents = _walk(bench, roots, no_calls)
        wrong = set()
        for index in parents:
            if not bench.over[index] or index in found:
                continue
            way = _way(parents, index)
            wrong |= _unconfirmed(bench, (*way, index))
        if not wrong:
            break
        no_calls |= wrong
    for index, parent in parents.items():
        if bench.over[index] and parent is not None:
            found.setdefault(index, _way(parents, index))
    return found


def _walk(bench: _Bench, roots: list[int], no_calls: set[tuple[int, int]]) -> dict[int, int | None]:
    """Follow candidate calls from the roots; a guarded call into code above the level is none."""
    parents: dict[int, int | None] = dict.fromkeys(roots)
    waiting = deque(roots)
    while waiting:
        current = waiting.popleft()
        guarded = bench.guards.signal(current) is not None
        for callee in bench.reader.callees(current):
            if callee in parents or not bench.program.known[callee]:
                continue
            if (guarded and bench.over[callee]) or (current, callee) in no_calls:
                continue
            parents[callee] = current
            waiting.append(callee)
    return parents


def _way(parents: Mapping[int, int | None], index: int) -> tuple[int, ...]:
    way: list[int] = []
    parent = parents[index]
    while parent is not None:
        way.append(parent)
        parent = parents[parent]
    return tuple(reversed(way))


def _unconfirmed(bench: _Bench, chain: tuple[int, ...]) -> set[tuple[int, int]]:
    """Return the steps of a way that are no instruction after all."""
    return {
        (caller, callee)
        for caller, callee in pairwise(chain)
        if callee not in bench.reader.body(caller).calls
    }


def _all_starts(bench: _Bench) -> dict[int, Start]:
    """Add what a program's entry hands to libc: main, by address."""
    starts = dict(bench.program.starts)
    for index, start in bench.program.starts.items():
        if start is Start.ENTRY:
            starts |= dict.fromkeys(bench.reader.body(index).takes, Start.ENTRY)
    return starts
