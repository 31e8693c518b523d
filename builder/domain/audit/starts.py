"""What runs without being called: constructors, resolvers, entries, and what they call at once."""

from collections import deque
from typing import Protocol

from builder.domain.audit.guards import Guards
from builder.domain.audit.program import FunctionReader, Program, Start


class _Bench(Protocol):
    program: Program
    reader: FunctionReader
    over: list[bool]

    @property
    def guards(self) -> Guards: ...


def start_chains(bench: _Bench) -> dict[int, int]:
    """Map each function above the level that runs when the file is loaded to its caller.

    Direct calls are followed from static constructors; from a resolver, a program's entry and a
    module's initialisation only the function itself counts, since what they call is conditional.
    A function that nothing calls maps to itself.
    """
    starts = _all_starts(bench)
    found = {
        index: index
        for index, start in starts.items()
        if bench.over[index] and not (start is not Start.LOAD and bench.guards.signal(index))
    }
    waiting = deque(index for index, start in starts.items() if start is Start.LOAD)
    seen = set(waiting)
    while waiting:
        current = waiting.popleft()
        for callee in bench.reader.callees(current):
            if callee in seen or not bench.program.known[callee]:
                continue
            if not bench.over[callee]:
                seen.add(callee)
                waiting.append(callee)
            elif bench.guards.signal(current) is None and _calls(bench, current, callee):
                seen.add(callee)
                waiting.append(callee)
                found[callee] = current
    return found


def _calls(bench: _Bench, caller: int, callee: int) -> bool:
    return callee in bench.reader.body(caller).calls


def _all_starts(bench: _Bench) -> dict[int, Start]:
    """Add what a program's entry hands to libc: main, by address."""
    starts = dict(bench.program.starts)
    for index, start in bench.program.starts.items():
        if start is Start.ENTRY:
            starts |= dict.fromkeys(bench.reader.body(index).takes, Start.ENTRY)
    return starts
