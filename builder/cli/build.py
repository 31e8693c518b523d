"""`cellar build`: a cell's image from the store, without network; or all that can be built."""

import argparse
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from builder.adapters import process
from builder.adapters.data import evidence_files
from builder.cli import building, selection, wiring
from builder.commands.build import Built, Order, Tools, build
from builder.commands.build_matrix import build_matrix
from builder.errors import EngineError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    add_engine_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")
    parser.add_argument(
        "--all",
        action="store_true",
        help="build every cell whose inputs are here, as the matrix has it; no stand-in",
    )
    parser.add_argument("--jobs", type=_count, default=0, help="compilers at once, over all cells")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        message = "at least one"
        raise argparse.ArgumentTypeError(message)
    return number


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument("--engine", choices=building.ENGINES, default="docker")


def execute(args: argparse.Namespace) -> int:
    """Build, and print tag and digest."""
    if args.all:
        return _execute_all(args)
    order = replace(building.order(selection.select(args), target=args.target), jobs=args.jobs)
    tools = building.tools(args.engine, building.work_folder(order, args.engine))
    wiring.progress().say(f"{order.tag}: building with {tools.engine.version()}")
    image = built(order, tools).image
    print(f"{image.tag}@{image.digest}")  # noqa: T201 - the command's result
    return 0


def _execute_all(args: argparse.Namespace) -> int:
    """Build every cell that can be; 7 where one failed. What cannot be built is named."""
    chosen = [f"--{name}" for name in ("cell", "cuda", "gpu", "isa") if getattr(args, name)]
    if chosen:
        message = f"--all builds every cell as the matrix has it, so it takes no {chosen[0]}"
        raise UsageError(message, hint="leave one of the two out")
    say, engine = wiring.progress().say, building.engine(args.engine)
    say(f"building with {engine.version()}")
    here, absent = building.reachable(selection.matrix(args), target=args.target)
    for cell, why in absent.items():
        say(f"{cell}: not built: {why}")
    jobs = args.jobs or len(os.sched_getaffinity(0))
    start = partial(_build_cell, args)
    done = build_matrix(
        [order.recipe.cell.id for order in here], start, wiring.progress(), jobs=jobs
    )
    for order, one in zip(here, done, strict=True):
        image = engine.find(order.tag)
        print(one.fault or f"{order.tag}@{image.digest if image else '?'}")  # noqa: T201
    return EngineError.exit_code if any(one.fault for one in done) else 0


def _build_cell(
    args: argparse.Namespace,
    cell: str,
    jobs: int,
    hear: Callable[[str], None],
    ending: threading.Event,
) -> None:
    """Build one cell in a process of its own, which ends when `ending` is set."""
    argv = [sys.executable, "-m", "builder", "build", "--image", args.image, "--cell", cell]
    argv += ["--target", args.target, "--engine", args.engine, "--jobs", str(jobs)]
    process.stream(argv, hear, cwd=wiring.root(), ending=ending)


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
