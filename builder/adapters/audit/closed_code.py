"""NVIDIA's code inside the libraries of others, which its licence forbids to decode as well.

A library that links cuDNN or cuBLAS statically holds their functions side by side, as the linker
found them. Their public names and name spaces tell where; from one such name to the next, as long
as no function that the library itself exports stands between them, everything is NVIDIA's: most
functions there have names that tell nothing.
"""

import re
from dataclasses import dataclass

import numpy as np

from builder.adapters.audit import elf_tables
from builder.adapters.audit.elf import U64, ElfFile
from builder.adapters.audit.elf_tables import SymbolTable
from builder.adapters.audit.fatbin import SECTIONS
from builder.adapters.audit.regions import FLAGS

_LIBRARIES = ("cudnn", "cublasLt", "cublas", "cusparse", "cusolver", "cufft", "curand", "nvrtc",
              "nvjpeg", "npp")  # fmt: skip
_SPACES = {"5cudnn": "cudnn", "10cask_cudnn": "cudnn", "6cublas": "cublas", "8cusparse": "cusparse",
           "8cusolver": "cusolver", "5cufft": "cufft", "6curand": "curand",
           "6cudart": "cuda"}  # fmt: skip
_NAME = re.compile(
    rf"({'|'.join(_LIBRARIES)}|cuda)[A-Z]\w*\Z|_ZT?[VISH]?N?K?({'|'.join(_SPACES)})".encode()
)
_GLOBAL = 1


@dataclass(frozen=True, kw_only=True)
class ClosedCode:
    """Stretches of code by address that are not to be decoded, and the libraries they are of."""

    starts: U64
    ends: U64
    libraries: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return their bytes."""
        return int((self.ends - self.starts).sum())

    def holds(self, addresses: U64) -> FLAGS:
        """Tell which addresses lie in some stretch."""
        if not len(self.starts):
            return np.zeros(len(addresses), dtype=bool)
        at = np.searchsorted(self.starts, addresses, side="right").astype(np.int64) - 1
        return np.asarray((at >= 0) & (addresses < self.ends[np.maximum(at, 0)]), dtype=bool)


NOTHING_CLOSED = ClosedCode(starts=np.empty(0, dtype=np.uint64), ends=np.empty(0, dtype=np.uint64))


def find_closed_code(elf: ElfFile, symbols: SymbolTable, dynamic: SymbolTable) -> ClosedCode:
    """Find NVIDIA's functions in a file that holds device code; in others there are none."""
    if not any(section.name in SECTIONS and section.size for section in elf.sections):
        return NOTHING_CLOSED
    rows = elf_tables.functions(symbols, elf.code)
    names = elf_tables.names(elf, symbols, rows)
    found = [_NAME.match(name) for name in names]
    theirs = np.array([match is not None for match in found], dtype=bool)
    libraries = {_library(match) for match in found if match}
    if not libraries:
        return NOTHING_CLOSED
    chosen = symbols.rows[rows[theirs]]
    starts = chosen["value"].astype(np.uint64)
    exported = elf_tables.exported(dynamic.rows) & (dynamic.rows["info"] >> 4 == _GLOBAL)
    between = np.setdiff1d(dynamic.rows["value"][exported].astype(np.uint64), starts)
    apart = np.searchsorted(between, starts[1:]) > np.searchsorted(between, starts[:-1], "right")
    first, last = np.append(True, apart), np.append(apart, True)
    ends = _ends(elf, starts, chosen["size"].astype(np.uint64))
    return ClosedCode(starts=starts[first], ends=ends[last], libraries=tuple(sorted(libraries)))


def _ends(elf: ElfFile, starts: U64, sizes: U64) -> U64:
    """End each function where it says, but not behind the next one or its section."""
    limits = np.append(starts[1:], np.uint64(0))
    for section in elf.code:
        inside = np.flatnonzero((starts >= section.address) & (starts < section.end))
        limits[inside[-1:]] = section.end
    return np.asarray(starts + np.minimum(sizes, limits - starts), dtype=np.uint64)


def _library(match: re.Match[bytes]) -> str:
    plain, space = match[1], match[2]
    return plain.decode() if plain else _SPACES[space.decode()]
