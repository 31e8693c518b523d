"""YAML data files: read with the line of every field, and written in one canonical form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from builder.domain.fault import Fault, FieldPath
from builder.errors import UsageError

_LINE = 70  # a collection that fits into this many columns stands on one line,
_ROW = 140  # and so does a row of a table, which is read beside its neighbours
_NO_WRAP = 10_000

JSONValue: TypeAlias = (
    "bool | int | float | str | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
)


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its value, the line of each field (counted from 1), and what YAML itself minds."""

    path: Path
    value: JSONValue
    lines: Mapping[FieldPath, int]
    faults: tuple[Fault, ...]

    def line(self, where: FieldPath) -> int:
        """Return the line of a field, or that of the nearest one around it."""
        while where not in self.lines:
            where = where[:-1]
        return self.lines[where]


def read(path: Path) -> Document:
    """Read one file; whatever is wrong with its YAML comes as faults of the document."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        message = f"{path} does not exist"
        raise UsageError(message) from None
    except UnicodeDecodeError as error:
        return _unreadable(path, 1, f"has byte {error.start}, which is not UTF-8")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return _unreadable(path, line, f"is not YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        return _unreadable(path, 1, f"is not YAML: {error.reason}")
    if node is None:
        return _unreadable(path, 1, "is empty")
    reader = _Reader()
    value = reader.value(node, ())
    return Document(path, value, reader.lines, tuple(reader.faults))


def canonical(value: JSONValue) -> str:
    """Return the one way in which Cellar writes this value as YAML, without comments."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_NO_WRAP, allow_unicode=True)


def header(text: str) -> str:
    """Return the comment lines with which a file begins."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: next((i for i, line in enumerate(lines) if line[0] != "#"), 0)])


def _unreadable(path: Path, line: int, message: str) -> Document:
    return Document(path, None, {(): line}, (Fault((), message),))


class _Reader:
    """Turns nodes into values, and notes the line of each."""

    def __init__(self) -> None:
        self.lines: dict[FieldPath, int] = {}
        self.faults: list[Fault] = []
        self._scalars = yaml.SafeLoader("")
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, where: FieldPath) -> JSONValue:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if id(node) in self._seen:  # an alias; one that holds itself would never end
            self.faults.append(Fault(where, "is an alias; write the value out"))
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, where))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*where, i)) for i, child in enumerate(node.value)]
        return self._scalar(node, where)

    def _items(self, node: yaml.MappingNode, where: FieldPath) -> Iterator[tuple[str, JSONValue]]:
        seen: set[str] = set()
        for key_node, child in node.value:
            key = str(key_node.value)
            here = (*where, key)
            if key in seen:
                self.faults.append(Fault(here, "stands twice", key_node.start_mark.line + 1))
                continue
            seen.add(key)
            self.lines[here] = key_node.start_mark.line + 1
            yield key, self.value(child, here)

    def _scalar(self, node: yaml.Node, where: FieldPath) -> JSONValue:
        try:
            value = self._scalars.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError):
            value = object()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        text = str(node.value)
        self.faults.append(Fault(where, f"write it in quotes: '{text}'"))
        return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - each value in full
        return True

    def represent_data(self, data: object) -> yaml.Node:
        node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = not node.value or _width(data) <= _LINE
        if isinstance(data, list) and isinstance(node, yaml.CollectionNode):
            _lay_out_rows(node, data)
        return node

    def represent(self, data: object) -> None:
        node = self.represent_data(data)
        vars(node)["flow_style"] = False  # the file itself
        self.serialize(node)


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    """Write a text of several lines as it stands, where YAML can."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _lay_out_rows(table: yaml.CollectionNode, rows: list[JSONValue]) -> None:
    for child, row in zip(table.value, rows, strict=True):
        if isinstance(row, dict):
            table.flow_style = False
            child.flow_style = _width(row) <= _ROW


def _width(data: object) -> int:
    return len(yaml.safe_dump(data, default_flow_style=True, width=_NO_WRAP, sort_keys=False))
