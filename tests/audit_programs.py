"""Programs as dictionaries, for judgements without an ELF file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from builder.domain.audit import features
from builder.domain.audit.program import Body, Label, Program, Site, Start

AVX2 = features.BITS["avx2"]
SSE3 = features.BITS["sse3"]
AES = features.BITS["aes"]
ASKS = features.ASKS_CPU


@dataclass
class FakeFunction:
    """One function of a made-up file."""

    name: str
    bits: int = 0
    calls: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    uses: tuple[int, ...] = ()
    stores: tuple[int, ...] = ()
    hands: dict[str, tuple[int, ...]] = field(default_factory=dict)
    start: Start | None = None
    exported: bool = False
    queries: bool = False  # asks another file what the CPU has
    table: bool = False
    known: bool = True
    unit: str = ""
    weak: bool = False
    false_calls: tuple[str, ...] = ()  # found by byte pattern, but no instruction
    symbol: str | None = None
    size: int = 16


@dataclass
class FakeReader:
    """The FunctionReader of a list of functions, whose place is their index."""

    functions: Sequence[FakeFunction]
    decoded: list[int] = field(default_factory=list)

    @cached_property
    def _known(self) -> dict[str, int]:
        return {function.name: place for place, function in enumerate(self.functions)}

    @cached_property
    def _callers(self) -> dict[int, list[int]]:
        return self._inverted([self.callees(at) for at in range(len(self.functions))])

    @cached_property
    def _takers(self) -> dict[int, list[int]]:
        return self._inverted([self.takes(at) for at in range(len(self.functions))])

    @staticmethod
    def _inverted(rows: list[list[int]]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for source, targets in enumerate(rows):
            for target in targets:
                found.setdefault(target, []).append(source)
        return found

    def _places(self, names: Sequence[str]) -> list[int]:
        return [self._known[name] for name in names]

    def callees(self, index: int) -> list[int]:
        """Return true and false calls."""
        function = self.functions[index]
        return self._places((*function.calls, *function.false_calls))

    def callers(self, index: int) -> list[int]:
        """Return who calls, truly or not."""
        return self._callers.get(index, [])

    def takes(self, index: int) -> list[int]:
        """Return whose address is taken."""
        return self._places(self.functions[index].takes)

    def takers(self, index: int) -> list[int]:
        """Return who takes the address."""
        return self._takers.get(index, [])

    def users(self, address: int) -> list[int]:
        """Return who uses the data."""
        return [at for at, f in enumerate(self.functions) if address in (*f.uses, *f.stores)]

    def writes(self, index: int) -> frozenset[int]:
        """Return the data that it stores to."""
        return frozenset(self.functions[index].stores)

    def hands(self, index: int) -> dict[int, frozenset[int]]:
        """Return what it hands to whom."""
        given = self.functions[index].hands
        return {self._known[name]: frozenset(addresses) for name, addresses in given.items()}

    def body(self, index: int) -> Body:
        """Return what decoding would find."""
        self.decoded.append(index)
        function = self.functions[index]
        bits = function.bits & ~(features.ASKS_CPU | features.NOT_CODE)
        return Body(
            calls=frozenset(self._places(function.calls)),
            takes=frozenset(self._places(function.takes)),
            imports=frozenset(),
            sites=(Site(address=index * 16 + 4, text="wide", bits=bits),) if bits else (),
        )

    def label(self, index: int) -> Label:
        """Return the name."""
        function = self.functions[index]
        symbol = function.name if function.symbol is None else function.symbol
        return Label(symbol=symbol, unit=function.unit, address=index * 16, weak=function.weak)


def program(functions: Sequence[FakeFunction], *, stripped: bool = False) -> Program:
    """Return the Program of a list of functions."""
    return Program(
        bits=[function.bits for function in functions],
        known=[function.known for function in functions],
        sizes=[function.size for function in functions],
        in_tables=frozenset(at for at, f in enumerate(functions) if f.table),
        exported=frozenset(at for at, f in enumerate(functions) if f.exported),
        starts=_starts(functions),
        stripped=stripped,
        querying=frozenset(at for at, f in enumerate(functions) if f.queries),
    )


def _starts(functions: Sequence[FakeFunction]) -> Mapping[int, Start]:
    return {at: f.start for at, f in enumerate(functions) if f.start is not None}


def fillers(count: int, prefix: str = "filler") -> list[FakeFunction]:
    """Return functions that do nothing."""
    return [FakeFunction(f"{prefix}{number}") for number in range(count)]
