"""`cellar matrix`: the cells, for people and for CI jobs, and whether they run on a host."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from builder.adapters import environment
from builder.adapters.data import cell_states, datafiles
from builder.adapters.host import host_facts
from builder.cli import selection, wiring
from builder.commands import matrix as command
from builder.domain.cell_state import CellState
from builder.domain.host import Host
from builder.domain.matrix import Cell, Matrix
from builder.domain.resolve import check_known
from builder.errors import UsageError

_PLAIN_WIDTH = 10_000  # a pipe has no width; each row stays on one line


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar matrix`."""
    selection.add_image_option(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all of it (cells.schema.json)")
    form.add_argument("--github", action="store_true", help="print a GitHub Actions job matrix")
    form.add_argument("--markdown", action="store_true", help="print the table of the README")
    form.add_argument(
        "--check", action="store_true", help="judge the data files, and print nothing"
    )
    form.add_argument("--format", action="store_true", help="rewrite the data files canonically")
    add_host_options(parser)


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that put another host in the place of this one."""
    group = parser.add_argument_group("another host than this one")
    group.add_argument(
        "--gpu",
        action="append",
        metavar="X.Y[,X.Y]",
        help="its GPUs, by compute capability, or none (repeatable)",
    )
    group.add_argument("--driver", metavar="VERSION", help="its NVIDIA driver")
    group.add_argument("--isa", metavar="LEVEL", help="its CPU, by psABI level")
    group.add_argument("--wsl", action="store_true", default=None, help="it is WSL")


def host(args: argparse.Namespace, matrix: Matrix) -> Host:
    """Read this host, with the options in the place of what they name.

    A compute capability that `matrix` does not know is a UsageError.
    """
    asked = {
        "CELLAR_OVERRIDE_GPU": None if args.gpu is None else ",".join(args.gpu),
        "CELLAR_OVERRIDE_DRIVER": args.driver,
        "CELLAR_OVERRIDE_ISA": args.isa,
        "CELLAR_OVERRIDE_WSL": "1" if args.wsl else None,
    }
    given = {name: text for name, text in asked.items() if text is not None}
    try:
        found = host_facts.read_host({**environment.variables(), **given})
    except UsageError as error:
        variable, _, said = str(error).partition(": ")
        option = f"--{variable.removeprefix('CELLAR_OVERRIDE_').lower()}"
        name = option if variable in given else variable
        message = f"{name}: {said}"
        raise UsageError(message, hint=error.hint) from None
    for gpu in found.gpus if args.gpu else ():
        if gpu.capability is not None:
            check_known(gpu.capability, matrix)
    return found


def execute(args: argparse.Namespace) -> int:
    """Print the matrix in the form asked for."""
    folder = selection.image_folder(args.image)
    if args.format:
        return _format(folder)
    matrix = datafiles.load_matrix(folder / "matrix.yaml")
    if args.check:
        image = datafiles.load_image(folder / "image.yaml")
        datafiles.load_edits(folder / "edits.yaml", image, matrix)
        return 0
    if args.github:
        print(json.dumps(command.include_list(matrix)))  # noqa: T201
        return 0
    reports = reports_for(matrix, host(args, matrix), local=not args.markdown)
    if args.json:
        print(json.dumps(command.document(matrix, reports), indent=2))  # noqa: T201
    elif args.markdown:
        sys.stdout.write(command.markdown(reports))
    else:
        _show(reports)
    return 0


def reports_for(
    matrix: Matrix, host: Host, *, local: bool = True
) -> tuple[command.CellReport, ...]:
    """Say of every cell what it serves, how far it has come and whether it runs on `host`.

    `local` counts what was verified on this machine too, which no published table should.
    """
    root = wiring.root()

    def state(cell: Cell) -> CellState:
        return cell_states.read_state(root, matrix.image, cell.id, local=local)

    return command.report(matrix, host, state)


def _format(folder: Path) -> int:
    for path in sorted(folder.glob("*.yaml")):
        if datafiles.format_file(path):
            wiring.progress().say(f"rewrote {path.name}")
    return 0


def _show(reports: tuple[command.CellReport, ...]) -> None:
    rows = command.table(reports)
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in rows[0]:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*row.values())
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)
    console.print(grid, *command.reasons(reports), sep="\n", markup=False)
