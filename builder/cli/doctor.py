"""`cellar doctor`: hold this host against the cells, and name each remedy."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace

from builder.adapters.host import host_resources
from builder.cli import matrix as matrix_verb
from builder.cli import selection, storage
from builder.commands import doctor as command
from builder.commands.matrix import CellReport
from builder.domain.diagnosis import diagnose
from builder.domain.host import Host
from builder.domain.matrix import Cell, Matrix
from builder.domain.resolve import Request, select
from builder.domain.verdict import Verdict
from builder.errors import HostError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar doctor`."""
    selection.add_image_option(parser)
    parser.add_argument("--cell", metavar="ID", help="ask about this cell (default: the best here)")
    parser.add_argument("--json", action="store_true", help="print it under doctor.schema.json")
    matrix_verb.add_host_options(parser)


def execute(args: argparse.Namespace) -> int:
    """Print what this host has and lacks; 0 when the cell runs here, else HostError's code."""
    matrix = selection.matrix(args)
    host = matrix_verb.host(args)
    resources = host_resources.read_resources(storage.folder())
    if args.gpu is not None:  # another host's GPUs: nothing is known of its engines
        resources = replace(resources, gpu_containers=True, linux_driver=False)
    cell = matrix.cell(args.cell) if args.cell else _best(matrix, host)
    diagnosis = diagnose(cell, host, resources, matrix)
    if args.json:
        found = command.document(cell, host, resources, diagnosis)
        print(json.dumps(found, indent=2))  # noqa: T201
    else:
        _show(matrix_verb.reports_for(matrix, host), command.host_lines(host, resources))
        print(*command.finding_lines(cell, diagnosis), sep="\n")  # noqa: T201
    return 0 if diagnosis.verdict is Verdict.OK else HostError.exit_code


def _best(matrix: Matrix, host: Host) -> Cell:
    try:
        return select(matrix, Request(), host).cell
    except HostError:  # no cell runs on its GPU: the newest is what the user will want to run
        return matrix.cells[-1]


def _show(reports: tuple[CellReport, ...], lines: Iterable[str]) -> None:
    print(*lines, sep="\n")  # noqa: T201
    for report in reports:
        found = report.here
        word = "runs" if found.verdict is Verdict.OK else f"{found.verdict}: {found.sentence}"
        print(f"{report.cell.id:<7} {word}")  # noqa: T201
    print()  # noqa: T201
