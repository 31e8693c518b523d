"""The only way in which upstream sources are changed: exact text, counted, with a reason."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from builder.domain.fault import Fault, did_you_mean
from builder.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace `find`, which must stand exactly `count` times in one file of a source.

    With a `count` of 0 the file must not exist, and is made of `replace`.
    `source` is a key of image.yaml's sources or a distribution that is compiled from its sdist;
    `cells` are those that need it, empty for all; `until` says when the edit can go.
    """

    source: str
    file: str
    find: str
    replace: str
    count: int
    why: str
    until: str
    cells: tuple[str, ...] = ()


def needed(edits: Sequence[Edit], *, source: str, cell: str) -> tuple[Edit, ...]:
    """Return the edits of one source that a cell needs, in their order."""
    return tuple(
        edit for edit in edits if edit.source == source and (not edit.cells or cell in edit.cells)
    )


def apply(edits: Sequence[Edit], files: Mapping[str, str]) -> Mapping[str, str]:
    """Return the new texts of the files that `edits` change or make, given all texts they name.

    Every edit that does not match exactly as often as it says is named in one DataError.
    """
    texts = dict(files)
    faults = []
    for edit in edits:
        if not edit.count and edit.file not in texts:
            texts[edit.file] = edit.replace
            continue
        if not edit.count:
            faults.append(f"{edit.source}: {edit.file} exists already; the edit: {edit.why}")
            continue
        if edit.file not in texts:
            faults.append(f"{edit.source}: {edit.file} does not exist; the edit: {edit.why}")
            continue
        found = texts[edit.file].count(edit.find)
        if found != edit.count:
            faults.append(_mismatch(edit, found))
            continue
        texts[edit.file] = texts[edit.file].replace(edit.find, edit.replace)
    if faults:
        raise DataError("\n".join(faults), hint="compare the source's commit with edits.yaml")
    return {name: text for name, text in texts.items() if text != files.get(name)}


def _mismatch(edit: Edit, found: int) -> str:
    first = (edit.find.strip() or edit.find).splitlines()[0]
    return (
        f"{edit.source}: {edit.file} holds {first!r} {_times(found)}, and the edit wants"
        f" {_times(edit.count)}; the edit: {edit.why}"
    )


def _times(count: int) -> str:
    return {0: "not at all", 1: "once"}.get(count, f"{count} times")


def edit_faults(
    edits: Sequence[Edit], sources: Collection[str], cells: Collection[str]
) -> Iterator[Fault]:
    """Yield a fault for each edit that names what does not exist, or that changes nothing."""
    for index, edit in enumerate(edits):
        here = ("edits", index)
        if edit.source not in sources:
            hint = did_you_mean(edit.source, sources) or f"; known are {', '.join(sorted(sources))}"
            yield Fault((*here, "source"), f"is {edit.source!r}, no source of the image{hint}")
        for cell in edit.cells:
            if cell not in cells:
                hint = did_you_mean(cell, cells)
                yield Fault((*here, "cells"), f"names {cell!r}, no cell of the matrix{hint}")
        if bool(edit.find) != bool(edit.count):
            yield Fault((*here, "find"), "is empty where, and only where, `count` is 0: a new file")
        if edit.find == edit.replace:
            yield Fault((*here, "replace"), "is the text that is found: nothing would change")
