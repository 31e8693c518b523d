"""The generated blocks of README.md: `make docs` writes them, the unit tests compare them."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from builder import cli
from builder.errors import CellarError

README = Path(__file__).parents[1] / "README.md"
_BLOCK = r"(<!-- {name}[^\n]*-->\n)(.*?)(<!-- end -->\n)"


def exit_codes() -> str:
    """Return the table of exit codes, from the error classes themselves."""
    interrupted = "interrupted (Ctrl-C, SIGTERM, a closed terminal); run it again to continue"
    rows = {0: "done", cli.INTERRUPTED: interrupted}
    for kind in _descendants(CellarError):
        rows.setdefault(kind.exit_code, kind.meaning)
    lines = [f"| {code} | {rows[code]} |" for code in sorted(rows)]
    return "\n".join(["| code | meaning |", "|---|---|", *lines]) + "\n"


def cells() -> str:
    """Return the table of cells, as `cellar matrix --markdown` prints it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.main(["matrix", "--markdown"])
    return printed.getvalue()


GENERATED: dict[str, Callable[[], str]] = {"exit codes": exit_codes, "cells": cells}


def block(name: str) -> str:
    """Return what README.md holds now between the markers of `name`."""
    found = re.search(_BLOCK.format(name=name), README.read_text(), re.DOTALL)
    if found is None:
        message = f"README.md has no block {name!r}"
        raise LookupError(message)
    return found[2]


def write() -> None:
    """Make every generated block anew."""
    text = README.read_text()
    for name, make in GENERATED.items():
        begin, end = (
            text.index(f"<!-- {name}"),
            text.index("<!-- end -->", text.index(f"<!-- {name}")),
        )
        first_line_end = text.index("\n", begin) + 1
        text = text[:first_line_end] + make() + text[end:]
    README.write_text(text)


def _descendants(kind: type[CellarError]) -> Iterator[type[CellarError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)


if __name__ == "__main__":
    write()
