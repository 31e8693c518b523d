"""What the matrix says, for people (a table, Markdown) and for programs (JSON)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from builder.domain.cell_state import CellState
from builder.domain.compatibility import Compatibility, device_reason, judge
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, DebianBase, Matrix, RegistryBase, StandIn
from builder.domain.verdict import Verdict

SCHEMA = 1

JSON: TypeAlias = bool | int | str | list["JSON"] | dict[str, "JSON"] | None
States: TypeAlias = Callable[[Cell], CellState]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport:
    """One cell, what it serves, how far it has come, and whether it runs on a host."""

    cell: Cell
    gpus: tuple[Gpu, ...]  # one for each compute capability of x86-64 hosts that the cell serves
    driver: str  # the oldest for this cell on Linux; empty where no GPU runs it
    state: CellState
    here: Compatibility


def report(
    matrix: Matrix, host: Host, states: States, *, isa: IsaLevel | None = None
) -> tuple[CellReport, ...]:
    """Say of every cell what it serves and whether it runs on `host`."""
    return tuple(
        CellReport(
            cell=cell,
            gpus=served(cell, matrix),
            driver=_oldest_driver(cell, matrix),
            state=states(cell),
            here=judge(cell, host, matrix, isa=isa),
        )
        for cell in matrix.cells
    )


def _oldest_driver(cell: Cell, matrix: Matrix) -> str:
    if cell.cuda is None or cell.stand_in is not None:
        return ""
    return str(matrix.tables.family(cell.cuda).linux)


def served(cell: Cell, matrix: Matrix) -> tuple[Gpu, ...]:
    """Return the known GPU architectures of x86-64 hosts on which the cell's device code runs."""
    if cell.cuda is None:
        return ()
    known = [
        Gpu(name=row.name, capability=row.capability) for row in matrix.tables.gpu_architectures
    ]
    return tuple(gpu for gpu in known if device_reason(cell, gpu, matrix) is None)


def gpu_span(gpus: Sequence[Gpu]) -> str:
    """Return the first and the last of the GPUs that a cell serves, for people."""
    if not gpus:
        return "none"
    return f"{gpus[0]} to {gpus[-1]}"


def reasons(reports: Sequence[CellReport]) -> tuple[str, ...]:
    """Return one sentence for each reason why cells do not run here, naming those cells."""
    cells: dict[str, list[str]] = {}
    for row in reports:
        if row.here.reasons:
            cells.setdefault(row.here.sentence, []).append(row.cell.id)
    return tuple(f"{', '.join(names)}: {sentence}" for sentence, names in cells.items())


def table(reports: Sequence[CellReport]) -> tuple[Mapping[str, str], ...]:
    """Return the rows of the table for a terminal, column names and texts in order."""
    return tuple(
        {
            "cell": row.cell.id,
            "CUDA": str(row.cell.cuda or "none"),
            "torch": str(row.cell.torch),
            "Python": str(row.cell.python),
            "base": row.cell.base.os,
            "GPUs": _capabilities(row.gpus),
            "driver": row.driver or "none",
            "state": row.state.stage,
            "here": _HERE[row.here.verdict],
        }
        for row in reports
    )


def markdown(reports: Sequence[CellReport]) -> str:
    """Return the cells as a Markdown table, for the README; nothing in it depends on the host."""
    rows = [
        {
            "cell": f"`{row.cell.id}`",
            "CUDA": str(row.cell.cuda or "none"),
            "torch": str(row.cell.torch),
            "Python": str(row.cell.python),
            "mmcv-full": str(row.cell.packages["mmcv-full"]),
            "base": str(row.cell.base),
            "GPUs": gpu_span(row.gpus),
            "oldest driver": row.driver or "none",
            "state": str(row.state),
        }
        for row in reports
    ]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_HERE = {Verdict.OK: "runs", Verdict.VIOLATION: "no", Verdict.UNKNOWN: "unknown"}


def _capabilities(gpus: Sequence[Gpu]) -> str:
    return f"{gpus[0].capability} to {gpus[-1].capability}" if gpus else "none"


def document(matrix: Matrix, reports: Sequence[CellReport]) -> JSON:
    """Return all of it under cells.schema.json."""
    return {
        "schema": SCHEMA,
        "image": matrix.image,
        "cells": [_cell(row, matrix) for row in reports],
    }


def include_list(matrix: Matrix) -> JSON:
    """Return the cells as a GitHub Actions matrix: one job for each, stand-ins too.

    A stand-in is there to be built by machines that reach no more than the package index and
    Debian, as those runners do.
    """
    return {
        "include": [
            {
                "cell": cell.id,
                "image": matrix.image,
                "cuda": str(cell.cuda or ""),
                "torch": str(cell.torch),
                "python": str(cell.python),
                "gpu": cell.cuda is not None and cell.stand_in is None,
            }
            for cell in matrix.cells
        ]
    }


def _cell(row: CellReport, matrix: Matrix) -> JSON:
    cell = row.cell
    return {
        "id": cell.id,
        "summary": cell.summary,
        "stand_in": _stand_in(cell.stand_in),
        "base": _base(cell.base),
        "python": str(cell.python),
        "torch": str(cell.torch),
        "cuda": str(cell.cuda) if cell.cuda else None,
        "toolkit": str(cell.toolkit.version) if cell.toolkit else None,
        "gcc": matrix.gcc(cell),
        "packages": {name: str(cell.packages[name]) for name in sorted(cell.packages)},
        "pins": {name: str(cell.pins[name]) for name in sorted(cell.pins)},
        "gpu_archs": [str(arch) for arch in cell.gpu_archs],
        "ptx": str(cell.ptx) if cell.ptx else None,
        "isa": str(cell.isa),
        "proven": {"isa": str(cell.proven.isa), "evidence": cell.proven.evidence}
        if cell.proven
        else None,
        "channels": list(cell.channels),
        "serves": [str(gpu.capability) for gpu in row.gpus],
        "oldest_driver": row.driver or None,
        "state": _state(row.state),
        "here": _here(row.here),
    }


def _stand_in(stand_in: StandIn | None) -> JSON:
    return {"cell": stand_in.cell, "reason": stand_in.reason} if stand_in else None


def _base(base: DebianBase | RegistryBase) -> JSON:
    if isinstance(base, DebianBase):
        return {"kind": "debian", "os": base.os, "components": list(base.components)}
    return {
        "kind": "registry",
        "os": base.os,
        "reference": base.reference,
        "digest": base.digest,
        "quoted": base.quoted,
    }


def _state(state: CellState) -> JSON:
    return {
        "locked": state.locked,
        "quoted": state.quoted,
        "unlocked": state.unlocked,
        "rendered": state.rendered,
        "digest": state.digest,
        "gpu": state.gpu or None,
        "verified": [{"device": proof.device, "level": proof.level} for proof in state.proofs],
        "isa": state.isa or None,
    }


def _here(here: Compatibility) -> JSON:
    return {
        "verdict": here.verdict.value,
        "mode": here.mode.name.lower(),
        "reasons": [{"code": reason.code, "text": reason.text} for reason in here.reasons],
    }
