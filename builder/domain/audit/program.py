"""What an audit knows of one ELF file: plain facts, and a port to read single functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One instruction above the baseline: its address, its text, the feature bits it needs."""

    address: int
    text: str
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One function decoded in full; functions are told by their index in the Program."""

    calls: frozenset[int]  # direct calls and jumps that leave it, through the PLT too
    takes: frozenset[int]  # functions whose address it takes
    imports: frozenset[str]  # functions of other files that it calls
    sites: tuple[Site, ...]  # instructions above x86-64, in the order of their addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """How the file names a function: mangled symbol and source unit, each empty if unknown."""

    symbol: str
    unit: str
    address: int
    weak: bool = False


class Start(Enum):
    """Why a function runs without being called by code of this file."""

    LOAD = "static constructor"
    RESOLVER = "IFUNC resolver"
    ENTRY = "program entry"
    MODULE = "Python module initialisation"


@dataclass(frozen=True, kw_only=True)
class Program:
    """The regions of one file's code, by index in address order."""

    bits: Sequence[int]  # feature bits per region, see `features`
    known: Sequence[bool]  # False: bytes that no symbol or frame description names
    sizes: Sequence[int]
    in_tables: frozenset[int] = frozenset()  # address stands in initialised data
    exported: frozenset[int] = frozenset()
    starts: Mapping[int, Start] = field(default_factory=dict)
    stripped: bool = False
    queries: frozenset[str] = frozenset()  # imported functions and data that tell CPU features
    querying: frozenset[int] = frozenset()  # the functions that call or read them


class FunctionReader(Protocol):
    """Reads single functions of a Program; the adapter decodes, tests hand in dictionaries.

    All methods down to `users` give candidates, found by byte pattern: none is missed, and a few
    are no instruction at all. `body` settles it.
    """

    def callees(self, index: int) -> Sequence[int]:
        """Return the functions that one may call or jump to."""
        ...

    def callers(self, index: int) -> Sequence[int]:
        """Return the functions that may call or jump to one."""
        ...

    def takers(self, index: int) -> Sequence[int]:
        """Return the functions that may take the address of one."""
        ...

    def takes(self, index: int) -> Sequence[int]:
        """Return the functions whose address one may take."""
        ...

    def users(self, address: int) -> Sequence[int]:
        """Return the functions that may have the data at `address` as an operand."""
        ...

    def body(self, index: int) -> Body:
        """Decode one function in full."""
        ...

    def writes(self, index: int) -> frozenset[int]:
        """Return the addresses of writable data that one function stores to."""
        ...

    def hands(self, index: int) -> Mapping[int, frozenset[int]]:
        """Return, by callee, the addresses of writable data that one function hands to it."""
        ...

    def label(self, index: int) -> Label:
        """Name one function."""
        ...
