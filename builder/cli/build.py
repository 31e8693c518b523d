"""`cellar build`: a cell's image from the store, without network."""

import argparse

from builder.adapters.data import evidence_files
from builder.cli import building, selection, wiring
from builder.commands.build import Built, Order, Tools, build


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    add_engine_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument("--engine", choices=building.ENGINES, default="docker")


def execute(args: argparse.Namespace) -> int:
    """Build, and print tag and digest."""
    order = building.order(selection.select(args), target=args.target)
    tools = building.tools(args.engine, building.work_folder(order, args.engine))
    wiring.progress().say(f"{order.tag}: building with {tools.engine.version()}")
    image = built(order, tools).image
    print(f"{image.tag}@{image.digest}")  # noqa: T201 - the command's result
    return 0


def built(order: Order, tools: Tools) -> Built:
    """Build, say where the op wheels came from, and note which inputs gave which digest."""
    done = build(order, tools)
    for key in done.wheels:
        origin = "compiled" if key in done.compiled else "from the store"
        wiring.progress().say(f"op wheel {key}: {origin}")
    for one in done.absent:
        what = f"{one.name} {one.version}: {one.reason}"
        wiring.progress().say(f"the image comes without {what}")
    path = building.note_path(order, tools.engine.name)
    evidence_files.write({"digest": done.image.digest, "key": done.key}, path)
    return done
