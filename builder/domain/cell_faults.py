"""What must hold for each cell beyond its schema, given the tables; every breach is a fault."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from builder.domain.fault import Fault, did_you_mean
from builder.domain.gpu import CodeMode
from builder.domain.matrix import Cell, Matrix, RegistryBase
from builder.domain.tables import Exclusion, Tables

_STAND_IN = "-standin"

Said = tuple[str, str]  # the field of a cell, and what is wrong with it


def cell_faults(
    matrix: Matrix, rows: Mapping[int, Cell], unsound: Collection[str]
) -> Iterator[Fault]:
    """Yield every fault of the cells; `rows` are those that could be read, by their place.

    What needs a table that has faults of its own (named in `unsound`) is left for the next run:
    a row that is missing there would show as a fault here.
    """
    ids: dict[str, int] = {}
    for row, cell in rows.items():
        if ids.setdefault(cell.id, row) != row:
            yield Fault(("cells", row, "id"), f"is {cell.id} a second time")
        for check, tables in _CHECKS.items():
            if not set(tables) & set(unsound):
                for field, message in check(cell, matrix.tables):
                    yield Fault(("cells", row, field), message)
    yield from _order(rows)
    yield from _stand_ins(rows)


def _stand_ins(rows: Mapping[int, Cell]) -> Iterator[Fault]:
    # A stand-in says so in its id, and stands in for a cell that is none itself.
    for row, cell in rows.items():
        if cell.id.endswith(_STAND_IN) != (cell.stand_in is not None):
            yield Fault(
                ("cells", row, "id"), f"ends in {_STAND_IN} where, and only where, it is one"
            )
        real = [other.id for other in rows.values() if other.stand_in is None]
        if cell.stand_in and cell.stand_in.cell not in real:
            name = cell.stand_in.cell
            message = f"names {name!r}, no cell to stand in for{did_you_mean(name, real)}"
            yield Fault(("cells", row, "stand_in"), message)


def _order(rows: Mapping[int, Cell]) -> Iterator[Fault]:
    ranks = [(row, cell.cuda or (0, 0)) for row, cell in rows.items()]
    for (_, before), (row, after) in pairwise(ranks):
        if after < before:
            yield Fault(("cells", row), "stands after a cell with a newer CUDA")


def _cuda_or_none(cell: Cell, tables: Tables) -> Iterator[Said]:
    del tables
    if cell.cuda is None:
        for field in ("toolkit", "gpu_archs", "ptx"):
            if getattr(cell, field):
                yield field, "must be empty in a cell without CUDA"
        return
    if cell.toolkit is None:
        yield "toolkit", f"is null, and yet the cell has CUDA {cell.cuda}"
    elif cell.toolkit.version.release[:2] != cell.cuda:
        yield "toolkit", f"is {cell.toolkit.version}, and yet the cell has CUDA {cell.cuda}"
    if not cell.gpu_archs:
        yield "gpu_archs", f"is empty, and yet the cell has CUDA {cell.cuda}"


def _channels(cell: Cell, tables: Tables) -> Iterator[Said]:
    del tables
    needed = {"registry" if isinstance(cell.base, RegistryBase) else "debian": "base"}
    if cell.toolkit:
        needed[cell.toolkit.channel] = "toolkit"
    if (cell.torch.local or "").startswith("cu"):
        needed["torch-index"] = "torch"
    if "detectron2" in cell.packages:
        needed["git"] = "detectron2"
    for channel, user in needed.items():
        if channel not in cell.channels:
            yield "channels", f"lacks {channel}, from where {user} comes"


def _gpu_archs(cell: Cell, tables: Tables) -> Iterator[Said]:
    if list(cell.gpu_archs) != sorted(cell.gpu_archs):
        yield "gpu_archs", "is not in ascending order"
    if cell.ptx and cell.ptx not in cell.gpu_archs:
        yield "ptx", f"is {cell.ptx}, which gpu_archs lacks"
    if cell.cuda is None:
        return
    for arch in cell.gpu_archs:
        row = tables.architecture(arch)
        if row is None:
            known = [str(row.capability) for row in tables.gpu_architectures]
            yield "gpu_archs", f"has {arch}, no known GPU{did_you_mean(str(arch), known)}"
        elif not row.known_to(cell.cuda):
            span = f"{row.first} to {row.last}" if row.last else f"{row.first} or later"
            message = (
                f"has {arch} ({row.name}): nvcc of CUDA {span} compiles for it, not {cell.cuda}"
            )
            yield "gpu_archs", message


def _torch(cell: Cell, tables: Tables) -> Iterator[Said]:
    if cell.torch not in {row.torch for row in tables.torch_builds}:
        known = [str(row.torch) for row in tables.torch_builds]
        nearest = did_you_mean(str(cell.torch), known)
        yield "torch", f"is {cell.torch}, of which torch_builds has no row{nearest}"
        return
    build = tables.torch_build(cell.torch)
    if cell.stand_in is not None:
        if build.cuda is None or cell.cuda is None or build.cuda.major == cell.cuda.major:
            yield "stand_in", f"excuses nothing: torch {cell.torch} has the CUDA of the cell"
        return
    if build.cuda != cell.cuda:
        has, wanted = (f"CUDA {cuda}" if cuda else "no CUDA" for cuda in (build.cuda, cell.cuda))
        yield "torch", f"is {cell.torch}, built with {has}, in a cell with {wanted}"
        return
    for arch in cell.gpu_archs if cell.cuda else ():
        if build.code.mode(arch) is CodeMode.NONE:
            yield "gpu_archs", f"has {arch}, and torch {cell.torch} only {build.code}"


def _drivers(cell: Cell, tables: Tables) -> Iterator[Said]:
    if cell.cuda is None:
        return
    if cell.cuda.major not in {row.cuda_major for row in tables.driver_families}:
        yield "cuda", f"is {cell.cuda}, and driver_families has no row {cell.cuda.major}"
    if cell.cuda not in {row.cuda for row in tables.driver_releases}:
        yield "cuda", f"is {cell.cuda}, of which driver_releases has no row"


def _distribution(cell: Cell, tables: Tables) -> Iterator[Said]:
    known = {row.os: row for row in tables.distributions}
    if cell.base.os not in known:
        nearest = did_you_mean(cell.base.os, known)
        yield "base", f"is {cell.base.os}, of which distributions has no row{nearest}"
    elif known[cell.base.os].python != cell.python:
        brings = known[cell.base.os].python
        yield "python", f"is {cell.python}, and {cell.base.os} brings {brings}"


def _compiler(cell: Cell, tables: Tables) -> Iterator[Said]:
    majors = [gcc for row in tables.distributions if row.os == cell.base.os for gcc in row.gcc]
    if cell.cuda is None or not majors:
        return
    try:
        row = tables.compiler(cell.cuda)
    except KeyError:
        yield "cuda", f"is {cell.cuda}, of which compilers has no row"
        return
    if not any(row.gcc_min <= gcc <= row.gcc_max for gcc in majors):
        have = ", ".join(str(gcc) for gcc in majors)
        message = f"brings gcc {have}, and nvcc of CUDA {cell.cuda} takes"
        yield "base", f"{message} {row.gcc_min} to {row.gcc_max}"


def _versions(cell: Cell, tables: Tables) -> Iterator[Said]:
    for field, named in (("packages", cell.packages), ("pins", cell.pins)):
        for name, version in named.items():
            known = tables.versions.get(name)
            if known is None:
                nearest = did_you_mean(name, tables.versions)
                yield field, f"has {name}, no axis of versions{nearest}"
            elif version not in known:
                have = ", ".join(str(version) for version in known)
                yield field, f"has {name} {version}; those considered are {have}"


def _exclusions(cell: Cell, tables: Tables) -> Iterator[Said]:
    for exclusion in tables.exclusions:
        if excluded(cell, exclusion):
            what = " with ".join(f"{axis} {text}" for axis, text in exclusion.match.items())
            message = f"is excluded ({what}): {exclusion.reason} ({exclusion.evidence})"
            yield "id", message


def excluded(cell: Cell, exclusion: Exclusion) -> bool:
    """Say whether every axis of the exclusion holds a value of the cell."""
    return all(
        any(SpecifierSet(text).contains(value, prereleases=True) for value in _values(cell, axis))
        for axis, text in exclusion.match.items()
    )


def _values(cell: Cell, axis: str) -> list[Version]:
    plain = {"torch": cell.torch, **cell.pins, **cell.packages, "python": Version(str(cell.python))}
    if axis == "gpu":
        return [Version(str(arch)) for arch in cell.gpu_archs]
    if axis == "cuda":
        return [Version(str(cell.cuda))] if cell.cuda else []
    return [plain[axis]] if axis in plain else []


def _isa(cell: Cell, tables: Tables) -> Iterator[Said]:
    for row in tables.floors(cell.id):
        if row.level > cell.isa:
            yield "isa", f"is {cell.isa}, and yet {row}: that is {row.level}"


def _proven(cell: Cell, tables: Tables) -> Iterator[Said]:
    if cell.proven is None:
        return
    kept = [row for row in tables.floors(cell.id) if row.level > cell.proven.isa]
    for row in kept:
        if row.rebuild is None:
            yield "proven", f"is {cell.proven.isa}, and yet {row}"


_CHECKS: Mapping[Callable[[Cell, Tables], Iterator[Said]], tuple[str, ...]] = {
    _cuda_or_none: (),
    _channels: (),
    _gpu_archs: ("gpu_architectures",),
    _torch: ("torch_builds",),
    _drivers: ("driver_families", "driver_releases"),
    _distribution: ("distributions",),
    _compiler: ("distributions", "compilers"),
    _versions: ("versions",),
    _isa: ("isa_floors",),
    _proven: ("isa_floors",),
    _exclusions: ("exclusions", "versions", "torch_builds"),
}
