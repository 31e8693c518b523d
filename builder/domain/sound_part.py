"""The part of a faulty matrix that can still be judged, so that one run names every fault."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from builder.domain.documents import MatrixDocument
from builder.domain.fault import Fault

_MAPPINGS = frozenset({"sources", "versions"})
_TABLES = frozenset(MatrixDocument.__annotations__) - {"image", "cells"}


@dataclass(frozen=True, slots=True)
class SoundPart:
    """A document with the cells at `rows` only, and with every table in `unsound` emptied."""

    document: MatrixDocument
    rows: tuple[int, ...]
    unsound: frozenset[str]


def sound_part(value: object, faults: Collection[Fault]) -> SoundPart:
    """Leave out every cell and empty every table in which the schema found a fault."""
    given: Mapping[str, object] = value if isinstance(value, Mapping) else {}
    hit = {fault.where[0] for fault in faults if fault.where}
    unsound = frozenset(name for name in _TABLES if name not in given or name in hit)
    whole = {fault.where for fault in faults} & {("cells",), ()}
    bad = {fault.where[1] for fault in faults if fault.where[:1] == ("cells",) and fault.where[1:]}
    cells = given.get("cells", ())
    if whole or not isinstance(cells, Sequence):
        cells = ()
    rows = tuple(row for row in range(len(cells)) if row not in bad)
    document: dict[str, object] = {name: {} if name in _MAPPINGS else [] for name in _TABLES}
    document |= {name: given[name] for name in _TABLES - unsound}
    document |= {"image": given.get("image", ""), "cells": [cells[row] for row in rows]}
    return SoundPart(cast("MatrixDocument", document), rows, unsound)
