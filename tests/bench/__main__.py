"""`python -m tests.bench [NAME...]`: run measurements one after another, print one table.

Every measurement stands beside what it is compared with, in the same run on the same machine: the
ratio counts, the seconds are this machine's. Nothing here runs in the test suite.
"""

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.row import Row

NAMES = ("image", "cells", "audit")


def main() -> int:
    """Run the named measurements and print their rows; 0 when all of them could be made."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown measurement {unknown[0]!r}; have: {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in args.names:
        module = importlib.import_module(f"tests.bench.bench_{name}")
        for row in module.rows():
            rows.append(row)
            sys.stderr.write(f"{row.what}: {row.ours}\n")
    _print(rows)
    if args.json:
        args.json.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    return 0


def _print(rows: list[Row]) -> None:
    table = Table(title=f"{platform.machine()}, {platform.platform()}", title_justify="left")
    for heading in ("what", "ours", "compared with", "theirs", "ours / theirs", "goal", "met"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row.cells())
    Console(width=160).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
