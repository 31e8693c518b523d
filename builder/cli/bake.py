"""`cellar bake`: the matrix as a docker-bake file, for any builder that buildx can reach."""

import argparse
import json
import shlex
from pathlib import Path

from builder.adapters.engines.oci import context_of
from builder.cli import building, selection, wiring
from builder.commands.build import Order, kept_wheels
from builder.domain.bake import BakeTarget, bake_document


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
    """Lay out the contexts of every cell whose inputs are here, and print the file's name.

    Nonzero where a cell was left out for more than absent inputs.
    """
    matrix, say = selection.matrix(args), wiring.progress().say
    wanted, absent = building.reachable(matrix, target=args.target, names=args.cell or ())
    for cell, error in absent.items():
        say(f"{cell}: left out: {str(error).removeprefix(f'{cell}: ')}")
    code = building.left_out(wanted, absent)
    folder = args.into.resolve()
    targets = [_target(order, folder / order.recipe.cell.id) for order in wanted]
    text = json.dumps(bake_document(targets), indent=1) + "\n"
    path = building.tools("docker", folder).contexts.write_text(text, folder / "docker-bake.json")
    # From there, because buildx 0.20 and later lets a file read nothing outside of where it runs.
    say(f"next: (cd {shlex.quote(str(folder))} && docker buildx bake)")
    print(path)  # noqa: T201 - the command's result
    return code


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
