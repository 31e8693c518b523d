"""`cellar reproduce`: build again, cold, and say what differs."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from builder.adapters import files
from builder.adapters.engines import oci
from builder.adapters.storage.folder import storage_errors
from builder.cli import building, selection, wiring
from builder.cli.build import add_engine_option
from builder.commands.reproduce import Reader, Reproduction, record, reproduce
from builder.domain.lock_files import dump
from builder.errors import VerificationError

_SHOWN = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    add_engine_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")
    parser.add_argument(
        "--against",
        choices=building.ENGINES,
        help="the engine whose image of this cell is the first build (default: the same)",
    )
    parser.add_argument(
        "--ops-from-store",
        action="store_true",
        help="take kept op wheels instead of compiling them again, which takes minutes",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="where both builds agree, write digest and layers into the lock's image.json",
    )


def execute(args: argparse.Namespace) -> int:
    """Build again, and print how alike the two builds are."""
    order = building.order(selection.select(args), target=args.target)
    parent = wiring.root() / ".cellar"
    with storage_errors(parent):
        parent.mkdir(exist_ok=True)
        work = Path(mkdtemp(prefix="again-", dir=parent))  # not where the first build was
    try:
        tools = building.tools(args.engine, work)
        first = building.engine(args.against or args.engine)
        reader = Reader(image=oci.read_image, files=oci.read_files)
        known = () if args.record else order.lock.expected
        compared = replace(
            order, lock=replace(order.lock, expected=known), compile=not args.ops_from_store
        )
        found = reproduce(compared, tools, reader, first_engine=first)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _report(order.tag, found)
    if not found.passed:
        message = f"{order.tag}: {found.comparison.likeness}, against the {found.against}"
        raise VerificationError(message, hint="the lines above say what differs")
    if args.record:
        folder = wiring.lock_folder(order.recipe.image.name, order.recipe.cell)
        # What this image comes without, or has compiled anew, is in the lock nevertheless.
        whole = wiring.lock(order.recipe.image.name, order.recipe.cell)
        files.write_lock(folder, dump(replace(whole, expected=record(order, found).expected)))
        wiring.progress().say(f"{folder}/image.json: recorded")
    return 0


def _report(tag: str, found: Reproduction) -> None:
    say = wiring.progress().say
    for wheel in found.wheels:
        verdict = "nothing kept to compare with" if wheel.kept is None else f"kept {wheel.kept}"
        say(f"op wheel {wheel.key}: now {wheel.now}, {verdict}")
    differences = found.comparison.differences
    for line in differences[:_SHOWN]:
        say(line)
    if len(differences) > _SHOWN:
        say(f"... and {len(differences) - _SHOWN} more")
    likeness = found.comparison.likeness
    print(f"{likeness}: {tag}@{found.second.digest}, against the {found.against}")  # noqa: T201
