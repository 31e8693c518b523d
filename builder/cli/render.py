"""`cellar render`: a cell's Dockerfile, or the golden files of all cells."""

import argparse
import sys

from builder.adapters.storage.folder import storage_errors
from builder.cli import building, selection, wiring
from builder.commands.render import golden
from builder.errors import VerificationError

_GOLDEN = wiring.root() / "tests" / "golden"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--golden", action="store_true", help="write tests/golden/<cell>.Dockerfile of every cell"
    )
    group.add_argument(
        "--check", action="store_true", help="fail where a golden file is not what is rendered"
    )


def execute(args: argparse.Namespace) -> int:
    """Print one Dockerfile, or write or check the golden files."""
    if not args.golden and not args.check:
        sys.stdout.write(building.dockerfile(building.recipe(selection.select(args))))
        return 0
    faults = []
    for name, text in golden(selection.matrix(args), building.recipe, building.dockerfile).items():
        path = _GOLDEN / name
        if args.golden:
            with storage_errors(path):
                path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            faults.append(name)
    if faults:
        message = f"tests/golden: {', '.join(faults)}: not what the templates give"
        raise VerificationError(message, hint="`make render`, and look at the difference")
    return 0
