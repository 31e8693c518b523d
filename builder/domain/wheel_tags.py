"""Which wheels a cell's base can install: its Python, its glibc, x86-64."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    BuildTag,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import Version

from builder.domain.matrix import Cell
from builder.domain.version import PythonVersion

# The minor version of glibc 2 in each distribution, from its package libc6.
_GLIBC = {"bullseye": 31, "bookworm": 36, "trixie": 41, "ubuntu20.04": 31, "ubuntu22.04": 35}
_OLDEST_GLIBC = 5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # PEP 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One file that a package index offers.

    `sha256` is empty and `uploaded` None where the index does not tell them.
    """

    filename: str
    sha256: str
    url: str = ""
    uploaded: datetime | None = None


def tags_of(cell: Cell) -> tuple[Tag, ...]:
    """Return the wheel tags that the cell's pip takes, best first."""
    return wheel_tags(cell.python, _GLIBC[cell.base.os])


def wheel_tags(python: PythonVersion, glibc: int) -> tuple[Tag, ...]:
    """Return the tags of CPython `python` on x86-64 with glibc 2.`glibc`, best first."""
    platforms = list(_platforms(glibc))
    own = cpython_tags(tuple(python), [python.tag], platforms)
    common = compatible_tags(tuple(python), python.tag, platforms)
    return tuple(dict.fromkeys([*own, *common]))


def fits(filename: str, tags: Iterable[Tag]) -> bool:
    """Say whether the wheel of this file name may be installed where `tags` are taken."""
    return _rank(filename, tuple(tags)) is not None


def is_wheel_of(filename: str, name: str, version: str, tags: Iterable[Tag]) -> bool:
    """Say whether this is a wheel of `name` `version`, for where `tags` are taken."""
    if not fits(filename, tags):
        return False
    found, its_version, *_ = parse_wheel_filename(filename)
    return (found, its_version) == (canonicalize_name(name), Version(version))


def best_wheel(candidates: Iterable[Candidate], tags: tuple[Tag, ...]) -> Candidate | None:
    """Return the wheel that pip would take, the same one whatever the order of `candidates`."""
    ranked = [
        (rank, candidate.filename, candidate)
        for candidate in candidates
        if (rank := _rank(candidate.filename, tags)) is not None
    ]
    return min(ranked, key=lambda row: row[:2])[2] if ranked else None


def _rank(filename: str, tags: tuple[Tag, ...]) -> tuple[int, int, str] | None:
    """Return a sort key, lower is better: the best tag, then the highest build number."""
    try:
        _, _, build, offered = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    places = [place for place, tag in enumerate(tags) if tag in offered]
    return (places[0], *_build_key(build)) if places else None


def _build_key(build: BuildTag) -> tuple[int, str]:
    return (-build[0], build[1]) if build else (0, "")


def _platforms(glibc: int) -> Iterator[str]:
    for minor in range(glibc, _OLDEST_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_x86_64"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_x86_64"
    yield "linux_x86_64"
