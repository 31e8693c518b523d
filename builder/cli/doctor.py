"""`cellar doctor`: hold this host against the cells, and name each remedy."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from builder.adapters.host import host_resources
from builder.cli import matrix as matrix_verb
from builder.cli import passport, selection, storage
from builder.commands import doctor as command
from builder.commands.matrix import CellReport
from builder.domain.admission import Answer, admit, best_instead
from builder.domain.diagnosis import Resources, diagnose
from builder.domain.host import Host
from builder.domain.matrix import Cell, Matrix
from builder.domain.resolve import Request, select
from builder.domain.verdict import Verdict
from builder.errors import CellarError, HostError

_UNPACKED = 5  # times the compressed size: the layers as they came, and unpacked
_CODES = {
    Answer.RUNS: 0,
    Answer.JIT: 0,
    Answer.NOT: HostError.exit_code,
    Answer.UNKNOWN: CellarError.exit_code,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar doctor`."""
    parser.epilog = "exit codes: 0 it runs here, natively or with JIT; 3 it will not; 1 unknown"
    parser.add_argument(
        "subject",
        nargs="?",
        metavar="IMAGE",
        help="hold this host against an image's passport instead (name, OCI layout or archive)",
    )
    selection.add_image_option(parser)
    parser.add_argument("--cell", metavar="ID", help="ask about this cell (default: the best here)")
    parser.add_argument("--json", action="store_true", help="print it under doctor.schema.json")
    matrix_verb.add_host_options(parser)


def execute(args: argparse.Namespace) -> int:
    """Print what this host has and lacks; 0 when the cell runs here, else HostError's code.

    Of an image: 0 when it runs, natively or with JIT, 3 when it will not, 1 when nobody can say.
    """
    if args.subject:
        return _admit(args)
    matrix = selection.matrix(args)
    host = matrix_verb.host(args, matrix)
    resources = _resources(args)
    cell = matrix.cell(args.cell) if args.cell else _best(matrix, host)
    diagnosis = diagnose(cell, host, resources, matrix)
    if args.json:
        found = command.document(cell, host, resources, diagnosis)
        print(json.dumps(found, indent=2))  # noqa: T201
    else:
        _show(matrix_verb.reports_for(matrix, host), command.host_lines(host, resources))
        print(*command.finding_lines(cell, diagnosis), sep="\n")  # noqa: T201
    return 0 if diagnosis.verdict is Verdict.OK else HostError.exit_code


def _admit(args: argparse.Namespace) -> int:
    subject = passport.read_subject(args.subject)
    sealed = subject.sealed
    args.image = sealed.image
    matrix = selection.matrix(args)
    host = matrix_verb.host(args, matrix)
    resources = _resources(args)
    fresh = Path(args.subject).exists()  # a file that an engine has still to unpack
    found = admit(sealed, host, resources, unpacked=_UNPACKED * subject.size if fresh else None)
    if found.answer is not Answer.RUNS:
        found = replace(found, instead=best_instead(sealed, matrix, host))
    if args.json:
        document = command.admission_document(subject.digest, sealed, host, resources, found)
        print(json.dumps(document, indent=2))  # noqa: T201
    else:
        print(*command.host_lines(host, resources), "", sep="\n")  # noqa: T201
        print(f"{args.subject}: {found.sentence}")  # noqa: T201
    return _CODES[found.answer]


def _resources(args: argparse.Namespace) -> Resources:
    found = host_resources.read_resources(storage.folder())
    if args.gpu is not None:  # another host's GPUs: nothing is known of its engines
        found = replace(found, gpu_containers=True, linux_driver=False)
    return found


def _best(matrix: Matrix, host: Host) -> Cell:
    try:
        return select(matrix, Request(), host).cell
    except HostError:  # no cell runs on its GPU: the newest is what the user will want to run
        return matrix.offered[-1]


def _show(reports: tuple[CellReport, ...], lines: Iterable[str]) -> None:
    print(*lines, sep="\n")  # noqa: T201
    width = max(len(report.cell.id) for report in reports)
    for report in reports:
        found = report.here
        word = "runs" if found.verdict is Verdict.OK else f"{found.verdict}: {found.sentence}"
        print(f"{report.cell.id:<{width}} {word}")  # noqa: T201
    print()  # noqa: T201
