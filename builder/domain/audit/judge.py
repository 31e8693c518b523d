"""One file's functions above a level, each with its verdict and the evidence for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from builder.domain.audit import features, names
from builder.domain.audit.exposure import Exposure
from builder.domain.audit.guards import Guards
from builder.domain.audit.program import FunctionReader, Program, Site, Start
from builder.domain.audit.starts import start_chains
from builder.domain.audit.verdicts import AuditVerdict, Finding, Signal
from builder.domain.isa import IsaLevel

_NEIGHBOURS = 8  # on each side
_FEWEST = 4
_DENSE = 0.4  # of them above the level: the stretch comes from a unit compiled for the ISA

MOST_SHOWN = 200
_LONGEST_SHOWN = 1 << 20  # bytes; longer stretches are no function, and cost seconds to decode


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """How many functions above the level have one verdict by one signal, and their bytes."""

    verdict: AuditVerdict
    signal: Signal
    functions: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelJudgement:
    """What one file needs beyond one level: the verdict, counts by signal, and the findings."""

    level: IsaLevel
    verdict: AuditVerdict
    counts: tuple[CountRow, ...]  # worst first
    findings: tuple[Finding, ...]  # unknown and worse, worst first, the first MOST_SHOWN
    silent: int = 0  # functions with LZCNT, which runs wrongly below the level, without SIGILL


@dataclass(frozen=True, slots=True)
class _Way:
    signal: Signal
    callers: tuple[int, ...] = ()  # from where the way begins to the last one

    @property
    def verdict(self) -> AuditVerdict:
        return self.signal.verdict


def judge_all(program: Program, reader: FunctionReader) -> tuple[LevelJudgement, ...]:
    """Judge one file at every level, the lowest first."""
    if not any(bits & features.above(IsaLevel.V1) for bits in program.bits):
        return tuple(
            LevelJudgement(level=level, verdict=AuditVerdict.CLEAN, counts=(), findings=())
            for level in IsaLevel
        )
    guards = Guards.find(program, reader)
    return tuple(judge(program, reader, level, guards) for level in IsaLevel)


def judge(
    program: Program, reader: FunctionReader, level: IsaLevel, guards: Guards | None = None
) -> LevelJudgement:
    """Judge every function of one file that a CPU of `level` may not be able to run."""
    bench = Bench(program, reader, level, guards or Guards.find(program, reader))
    ways = bench.decide()
    return LevelJudgement(
        level=level,
        verdict=max({way.verdict for way in ways.values()}, default=AuditVerdict.CLEAN),
        counts=_count(program, ways),
        findings=bench.findings(ways),
        silent=sum(bool(program.bits[i] & bench.mask & features.SILENT) for i in ways),
    )


def _count(program: Program, ways: dict[int, _Way]) -> tuple[CountRow, ...]:
    groups: dict[Signal, list[int]] = {}
    for index, way in ways.items():
        groups.setdefault(way.signal, []).append(program.sizes[index])
    rows = [
        CountRow(
            verdict=signal.verdict,
            signal=signal,
            functions=len(sizes),
            size=sum(sizes),
        )
        for signal, sizes in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.verdict, row.functions), reverse=True))


class Bench:
    """The judgement of one program at one level."""

    def __init__(
        self, program: Program, reader: FunctionReader, level: IsaLevel, guards: Guards
    ) -> None:
        self.program = program
        self.reader = reader
        self.guards = guards
        self.mask = features.above(level)
        self.over = [bool(bits & self.mask) for bits in program.bits]
        self._before = list(accumulate(self.over, initial=0))

    @cached_property
    def asks(self) -> bool:
        """Say whether this file asks the CPU at all: without that it cannot choose."""
        return bool(self.guards.asking or self.program.queries)

    @cached_property
    def exposure(self) -> Exposure:
        """Return who can be reached without passing a guard."""
        return Exposure(self.program, self.reader, self._shuts)

    def decide(self) -> dict[int, _Way]:
        """Find the way that decides for each function above the level."""
        over = [index for index, above in enumerate(self.over) if above]
        if not over:
            return {}
        chains = start_chains(self)
        ways: dict[int, _Way] = {}
        inner: list[int] = []
        for index in over:
            if index in chains:
                ways[index] = _Way(Signal.STARTS, chains[index])
                continue
            found = list(self._ways(index))
            if found:
                ways[index] = max(found, key=lambda way: way.verdict.rank)
            else:
                inner.append(index)
        self._spread(ways, inner)
        return ways

    def _spread(self, ways: dict[int, _Way], inner: list[int]) -> None:
        """Give functions that only others above the level call the worst of their callers."""
        waiting = set(inner)
        for index in sorted(ways, key=lambda i: ways[i].verdict.rank, reverse=True):
            reached = [index]
            while reached:
                current = reached.pop()
                for callee in (*self.reader.callees(current), *self.reader.takes(current)):
                    if callee in waiting:
                        waiting.discard(callee)
                        verdict = ways[index].verdict
                        # What a suspect calls is no suspect of its own: the suspect fails first.
                        mild = verdict in (AuditVerdict.SUSPECT, AuditVerdict.INIT_FAIL)
                        ways[callee] = _Way(Signal.INNER) if mild else _Way(ways[index].signal)
                        reached.append(callee)
        for index in waiting:
            ways[index] = _Way(Signal.STRIPPED if self._nameless(index) else Signal.NO_WAY_IN)

    def _ways(self, index: int) -> Iterator[_Way]:
        """Yield every way into one function from code that is not above the level itself."""
        program = self.program
        if not program.known[index]:
            yield _Way(Signal.NO_FUNCTION)
            return
        if program.bits[index] & features.NOT_CODE:
            yield _Way(Signal.NOT_CODE)
        for caller in self.reader.callers(index):
            if not self.over[caller]:
                yield _Way(self._call_signal(caller, index), (caller,))
        for taker in self.reader.takers(index):
            if not self.over[taker] and taker != index:
                yield _Way(self._take_signal(taker), (taker,))
        if program.starts.get(index) is Start.MODULE and self.guards.signal(index) is None:
            yield _Way(Signal.IMPORTED)
        if index in program.in_tables:
            yield _Way(Signal.TABLE)
        if index in program.exported and not self._belongs(index):
            yield _Way(Signal.EXPORTED)

    def _call_signal(self, caller: int, index: int) -> Signal:
        guard = self.guards.signal(caller)
        if guard is not None:
            return guard
        if self._belongs(caller):
            return Signal.ISA_UNIT
        if not self.exposure.exposed(caller):
            return Signal.GUARD_CALLERS
        if index not in self.reader.body(caller).calls:
            return Signal.INNER  # the bytes of another instruction, no call after all
        return self._open_signal(caller, index)

    def _open_signal(self, caller: int, index: int) -> Signal:
        """Judge a direct call from code that can be reached without passing a guard."""
        if self._nameless(index):
            return Signal.STRIPPED
        if not self._named(index):
            return Signal.DIRECT
        return Signal.VARIANTS if self._variants(caller, index) else Signal.ISA_NAME

    def _take_signal(self, taker: int) -> Signal:
        if self.program.starts.get(taker) is Start.RESOLVER:
            return Signal.GUARD_IFUNC
        guard = self.guards.signal(taker)
        if guard is not None:
            return guard
        return Signal.ISA_UNIT if self._belongs(taker) else Signal.TAKEN

    def _shuts(self, index: int) -> bool:
        """Say whether a way through this function has passed a guard, or is above the level."""
        return self.over[index] or self.guards.signal(index) is not None or self._belongs(index)

    def _belongs(self, index: int) -> bool:
        """Say whether a function lies in code compiled for the ISA, in a file that asks the CPU."""
        if not self.asks:
            return False
        low = max(0, index - _NEIGHBOURS)
        high = min(len(self.over), index + _NEIGHBOURS + 1)
        near = self._before[high] - self._before[low] - self.over[index]
        dense = near >= max(_DENSE * (high - low - 1), _FEWEST)
        return dense or self._named(index)

    def _named(self, index: int) -> bool:
        """Say whether the name promises what the code needs, in a file that asks the CPU."""
        if not self.asks:
            return False
        label = self.reader.label(index)
        needs = features.level_of(self.program.bits[index] & self.mask)
        return names.promises(label.symbol, needs) or names.unit_promises(label.unit, needs)

    def _nameless(self, index: int) -> bool:
        return self.program.stripped and not self.reader.label(index).symbol

    def _variants(self, caller: int, index: int) -> bool:
        """Say whether the caller also calls a function that differs only by its ISA token."""
        wanted = names.stem(self.reader.label(index).symbol)
        return any(
            names.stem(self.reader.label(callee).symbol) == wanted
            for callee in self.reader.body(caller).calls
            if callee != index
        )

    def findings(self, ways: dict[int, _Way]) -> tuple[Finding, ...]:
        """Describe the functions whose verdict is unknown or worse, the most called first."""
        bad = [index for index, way in ways.items() if way.verdict >= AuditVerdict.UNKNOWN]
        bad.sort(key=lambda index: (ways[index].verdict, self._callers(index)), reverse=True)
        return tuple(self._finding(index, ways[index]) for index in bad[:MOST_SHOWN])

    def _callers(self, index: int) -> int:
        return sum(not self.over[caller] for caller in self.reader.callers(index))

    def _finding(self, index: int, way: _Way) -> Finding:
        label = self.reader.label(index)
        site = self._site(index)
        return Finding(
            verdict=way.verdict,
            signal=way.signal,
            function=label,
            needs=features.names_of(self.program.bits[index] & self.mask),
            instruction=site.text if site else "",
            address=site.address if site else label.address,
            reached_from=tuple(self.reader.label(caller) for caller in way.callers),
            leaked=label.weak and self._belongs(index),
            callers=self._callers(index),
        )

    def _site(self, index: int) -> Site | None:
        if self.program.sizes[index] > _LONGEST_SHOWN:
            return None
        return next((s for s in self.reader.body(index).sites if s.bits & self.mask), None)
