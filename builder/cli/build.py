"""`cellar build`: a cell's image from the store, without network; or all that can be built."""

import argparse
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from builder.adapters import process
from builder.adapters.data import evidence_files
from builder.adapters.host import host_resources
from builder.adapters.storage.locks_fs import alone
from builder.cli import building, selection, wiring
from builder.commands.build import Built, Order, Tools, build
from builder.commands.build_matrix import build_matrix
from builder.errors import EngineError, UsageError

_COUNT = re.compile(r"[1-9]\d{0,3}", re.ASCII)
_ERROR = "error: "  # how builder.cli begins what went wrong
# Bytes that a compiler takes with torch's headers, as templates/steps/build-wheels has it.
_COMPILER = 2_000_000_000


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
    if not _COUNT.fullmatch(text):
        message = f"{text!r} is no whole number from 1 to 9999"
        raise argparse.ArgumentTypeError(message)
    return int(text)


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
    """Build every cell that can be; 7 where one failed. What cannot be built is named.

    A cell that is left out for more than absent inputs, such as a stale lock, decides the exit code
    where all others were built.
    """
    chosen = [f"--{name}" for name in ("cell", "cuda", "gpu", "isa") if getattr(args, name)]
    if chosen:
        message = f"--all builds every cell as the matrix has it, so it takes no {chosen[0]}"
        raise UsageError(message, hint="leave one of the two out")
    say, engine = wiring.progress().say, building.engine(args.engine)
    say(f"building with {engine.version()}")
    here, absent = building.reachable(selection.matrix(args), target=args.target)
    for cell, error in absent.items():
        say(f"{cell}: not built: {str(error).removeprefix(f'{cell}: ')}")
    left_out = building.left_out(here, absent)
    jobs = _bearable(args.jobs or len(os.sched_getaffinity(0)), say)
    start = partial(_build_cell, args)
    done = build_matrix(
        [order.recipe.cell.id for order in here], start, wiring.progress(), jobs=jobs
    )
    for order, one in zip(here, done, strict=True):
        image = engine.find(order.tag)
        made = f"{order.tag}@{image.digest if image else '?'}"
        print(f"{one.cell}: {one.fault}" if one.fault else made)  # noqa: T201
    return EngineError.exit_code if any(one.fault for one in done) else left_out


def _bearable(jobs: int, say: Callable[[str], None]) -> int:
    """Return how many compilers run at once over all cells: no more than memory bears."""
    memory = host_resources.available_memory()
    most = jobs if memory is None else max(1, memory // _COMPILER)
    if most < jobs:
        say(f"memory for {most} of {jobs} compilers at once; each takes up to 2 GB")
    return min(jobs, most)


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
    try:
        process.stream(argv, hear, cwd=wiring.root(), ending=ending)
    except process.ToolError as error:
        raise EngineError(_own_words(error.tail)) from error


def _own_words(tail: str) -> str:
    """Return what a Cellar said at its end: its error with the hint, else all its last lines."""
    lines = tail.splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    return "\n".join(lines[begins[-1] :]).removeprefix(_ERROR) if begins else tail


def built(order: Order, tools: Tools) -> Built:
    """Build, say where the op wheels came from, and note which inputs gave which digest."""

    def busy() -> None:
        wiring.progress().say(f"{order.tag}: waiting for another build of it in {tools.work}")

    with alone(tools.work, busy):
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
