"""What must hold within the matrix's tables beyond their schema; every breach is a fault."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from builder.domain.fault import Fault, FieldPath, did_you_mean
from builder.domain.tables import Exclusion, Tables, TorchBuild

# The axes of an exclusion that are not the names of packages.
AXES = ("torch", "cuda", "python", "gpu")


def table_faults(tables: Tables, unsound: Collection[str] = ()) -> Iterator[Fault]:
    """Yield every fault within the tables themselves.

    `unsound` tables have faults of their own and come in empty; what would need them is left for
    the next run.
    """
    for check, needed in _CHECKS.items():
        if not set(needed) & set(unsound):
            yield from check(tables)


def _unknown_sources(tables: Tables) -> Iterator[Fault]:
    for name in _SOURCED:
        for index, row in enumerate(getattr(tables, name)):
            if row.source not in tables.sources:
                nearest = did_you_mean(row.source, tables.sources)
                message = f"is {row.source!r}, no key of sources{nearest}"
                yield Fault((name, index, "source"), message)


def _unused_sources(tables: Tables) -> Iterator[Fault]:
    used = {row.source for name in _SOURCED for row in getattr(tables, name)}
    for key in tables.sources:
        if key not in used:
            yield Fault(("sources", key), "is named by no row")


_SOURCED = (
    "driver_families",
    "driver_releases",
    "gpu_architectures",
    "compilers",
    "distributions",
    "torch_builds",
)


def _keys(tables: Tables) -> Iterator[Fault]:
    """Rows are found by their key, and stand in its order; those of distributions in any."""
    yield from _ascending(
        "driver_families", "cuda_major", [r.cuda_major for r in tables.driver_families]
    )
    yield from _ascending("driver_releases", "cuda", [r.cuda for r in tables.driver_releases])
    yield from _ascending("driver_releases", "linux", [r.linux for r in tables.driver_releases])
    capabilities = [row.capability for row in tables.gpu_architectures]
    yield from _ascending("gpu_architectures", "capability", capabilities)
    yield from _once("distributions", "os", [row.os for row in tables.distributions])
    yield from _once("torch_builds", "torch", [row.torch for row in tables.torch_builds])


def _families(tables: Tables) -> Iterator[Fault]:
    majors = {row.cuda_major for row in tables.driver_families}
    for index, row in enumerate(tables.driver_releases):
        if row.cuda.major not in majors:
            where = ("driver_releases", index, "cuda")
            yield Fault(where, f"is {row.cuda}, and driver_families has no row {row.cuda.major}")


def _ascending(table: str, field: str, keys: Sequence[object]) -> Iterator[Fault]:
    for index, (before, after) in enumerate(pairwise(keys), start=1):
        if not before < after:  # type: ignore[operator]
            yield Fault((table, index, field), f"is {after}, which must come after {before}")


def _once(table: str, field: str, keys: Iterable[Hashable]) -> Iterator[Fault]:
    seen = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield Fault((table, index, field), f"is {key} a second time")
        seen.add(key)


def _ranges(tables: Tables) -> Iterator[Fault]:
    for index, row in enumerate(tables.gpu_architectures):
        if row.last is not None and row.last < row.first:
            yield Fault(("gpu_architectures", index, "last"), f"is {row.last}, before {row.first}")
    for index, span in enumerate(tables.compilers):
        if span.last < span.first:
            yield Fault(("compilers", index, "last"), f"is {span.last}, before {span.first}")
        if span.gcc_max < span.gcc_min:
            yield Fault(("compilers", index, "gcc_max"), f"is below gcc_min {span.gcc_min}")
    pairs = pairwise(tables.compilers)
    for index, (before, after) in enumerate(pairs, start=1):
        if after.first <= before.last:
            message = f"is {after.first}, within the row that ends with {before.last}"
            yield Fault(("compilers", index, "first"), message)


def _torch_builds(tables: Tables) -> Iterator[Fault]:
    for index, build in enumerate(tables.torch_builds):
        yield from _torch_build(build, ("torch_builds", index))


def _torch_build(build: TorchBuild, where: FieldPath) -> Iterator[Fault]:
    cubins = build.code.cubins
    if build.cuda is None:
        if cubins or build.code.ptx:
            yield Fault((*where, "cuda"), f"is null, and yet torch {build.torch} has device code")
        return
    if not cubins:
        yield Fault((*where, "cubins"), f"is empty, and yet torch {build.torch} has CUDA")
    if list(cubins) != sorted(cubins):
        yield Fault((*where, "cubins"), "is not in ascending order")
    if build.torch.local not in (None, f"cu{build.cuda.major}{build.cuda.minor}"):
        yield Fault((*where, "cuda"), f"is {build.cuda}, and yet the torch is {build.torch}")


def _torch_archs(tables: Tables) -> Iterator[Fault]:
    for index, build in enumerate(tables.torch_builds):
        if build.cuda is None:
            continue
        for arch in (*build.code.cubins, *build.code.ptx):
            row = tables.architecture(arch)
            if row is None or not row.known_to(build.cuda):
                message = f"has {arch}, for which CUDA {build.cuda} does not compile"
                yield Fault(("torch_builds", index, "cubins"), message)


def _exclusions(tables: Tables) -> Iterator[Fault]:
    for index, exclusion in enumerate(tables.exclusions):
        yield from _exclusion(exclusion, ("exclusions", index), tables)


def _exclusion(exclusion: Exclusion, where: FieldPath, tables: Tables) -> Iterator[Fault]:
    for axis, text in exclusion.match.items():
        here = (*where, "match", axis)
        known = considered(axis, tables)
        if not known:
            axes = (*AXES, *tables.versions)
            hint = did_you_mean(axis, axes) or f"; the axes are {', '.join(axes)}"
            yield Fault(here, f"is no axis{hint}")
        elif not any(SpecifierSet(text).contains(value, prereleases=True) for value in known):
            yield Fault(here, f"is {text}, which no version considered matches")


def considered(axis: str, tables: Tables) -> tuple[Version, ...]:
    """Return every version of an axis that the tables know; none where the axis is unknown."""
    if axis == "torch":
        return tuple(row.torch for row in tables.torch_builds)
    if axis == "cuda":
        return tuple(Version(str(row.cuda)) for row in tables.driver_releases)
    if axis == "python":
        return tuple(Version(str(row.python)) for row in tables.distributions)
    if axis == "gpu":
        return tuple(Version(str(row.capability)) for row in tables.gpu_architectures)
    return tables.versions.get(axis, ())


_CHECKS: Mapping[Callable[[Tables], Iterator[Fault]], tuple[str, ...]] = {
    _unknown_sources: ("sources",),
    _unused_sources: ("sources", *_SOURCED),
    _keys: (),
    _families: ("driver_families",),
    _ranges: (),
    _torch_builds: (),
    _torch_archs: ("gpu_architectures",),
    _exclusions: ("versions", *_SOURCED),
}
