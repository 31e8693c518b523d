"""`cellar build`: a cell's image from the store, without network."""

import argparse

from builder.cli import building, selection, wiring
from builder.commands.build import build


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
    chosen = selection.select(args)
    order = building.order(chosen, target=args.target)
    tools = building.tools(args.engine, building.work_folder(order, args.engine))
    say = wiring.progress().say
    say(f"building {order.tag} with {tools.engine.version()}")
    built = build(order, tools)
    for key in built.wheels:
        say(f"op wheel {key}: {'compiled' if built.compiled else 'from the store'}")
    print(f"{built.image.tag}@{built.image.digest}")  # noqa: T201 - the command's result
    return 0
