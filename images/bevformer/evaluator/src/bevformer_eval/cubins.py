"""Which GPU architectures a shared library holds code for, read from its fatbin headers.

A fatbin begins with the magic number 0xBA55ED50, a version, the header's size and the length of
its entries; an entry has its kind (1 is PTX, 2 a cubin) in its first two bytes, its header's size
at 4, its payload's size at 8, and its architecture at 28. cuobjdump reads the same.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Iterator, List, Set

_MAGIC = struct.pack("<I", 0xBA55ED50)
_HEADER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQ12xI")
_KINDS = {1: "compute", 2: "sm"}


def architectures(library: Path) -> List[str]:
    """Return what `library` holds, such as ['compute_90', 'sm_80', 'sm_90'], sorted, or []."""
    if library.stat().st_size < _HEADER.size:
        return []
    found: Set[str] = set()
    with library.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        place = data.find(_MAGIC)
        while 0 <= place <= len(data) - _HEADER.size:
            found.update(_entries(data, place))
            place = data.find(_MAGIC, place + 4)
    return sorted(found)


def _entries(data: mmap.mmap, place: int) -> Iterator[str]:
    _, version, header, length = _HEADER.unpack_from(data, place)
    if version != 1 or header != _HEADER.size:  # the magic number by chance, or a wrapper's
        return
    place += header
    end = min(place + length, len(data))
    while place + _ENTRY.size <= end:
        kind, _, size, payload, arch = _ENTRY.unpack_from(data, place)
        if kind in _KINDS:
            yield f"{_KINDS[kind]}_{arch}"
        place += max(size + payload, 1)
