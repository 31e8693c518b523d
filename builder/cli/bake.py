"""`cellar bake`: the matrix as a docker-bake file, for any builder that buildx can reach."""

import argparse
import json
from pathlib import Path

from builder.adapters.engines.oci import context_of
from builder.cli import building, selection, wiring
from builder.commands.build import Order, kept_wheels
from builder.domain.bake import BakeTarget, bake_document
from builder.errors import NetworkError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_image_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")
    parser.add_argument("--cell", action="append", metavar="ID", help="only this cell (repeatable)")
    parser.add_argument(
        "--into",
        type=Path,
        default=wiring.root() / ".cellar" / "bake",
        help="where the file and the contexts go, linked to the store (default: .cellar/bake)",
    )


def execute(args: argparse.Namespace) -> int:
    """Lay out the contexts of every cell whose inputs are here, and print the file's name."""
    matrix, say = selection.matrix(args), wiring.progress().say
    wanted, absent = building.reachable(matrix, target=args.target, names=args.cell or ())
    for cell, why in absent.items():
        say(f"{cell}: left out: {why}")
    if not wanted:
        message = "no cell that was asked for has all its inputs in the store"
        raise NetworkError(message, hint="`cellar fetch` brings them")
    folder = args.into.resolve()
    targets = [_target(order, folder / order.recipe.cell.id) for order in wanted]
    text = json.dumps(bake_document(targets), indent=1) + "\n"
    path = building.tools("docker", folder).contexts.write_text(text, folder / "docker-bake.json")
    say(f"next: docker buildx bake --file {path}")
    print(path)  # noqa: T201 - the command's result
    return 0


def _target(order: Order, folder: Path) -> BakeTarget:
    """Lay out one image's contexts; op wheels that the store has are among them."""
    recipe = order.recipe
    tools = building.tools("docker", folder)
    dockerfile = tools.contexts.write_text(building.dockerfile(recipe), folder / "Dockerfile")
    contexts = dict(tools.contexts.write(recipe, order.lock, folder / "contexts"))
    for name, wheel in kept_wheels(order, tools).items():  # in place of the stages of their names
        stage = f"op-{name}"
        contexts[stage] = tools.contexts.write_ops([wheel], folder / "contexts" / stage)
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    return BakeTarget(
        name=recipe.cell.id,
        dockerfile=str(dockerfile),
        target=order.target,
        contexts={name: context_of(path) for name, path in contexts.items()},
        empty=str(empty),
        epoch=recipe.image.epoch,
        tag=order.tag,
        annotations=recipe.annotations,
    )
