"""Faults in data files: all of them in one run, each by file, line and field."""

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

FieldPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field; `line` only where the field alone does not tell it."""

    where: FieldPath
    message: str
    line: int | None = None


def field_name(where: FieldPath) -> str:
    """Return a field as people write it: `cells[1].torch`."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that is most like `word`, if one is like it at all."""
    return next(iter(get_close_matches(word, sorted(known), n=1)), None)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return `; did you mean X?` for the nearest of the known words, or nothing."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
