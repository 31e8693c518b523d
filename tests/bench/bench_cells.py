"""The cells against one another: compiling, building again, layers, the matrix against its parts.

Empties Docker's build cache (`docker builder prune --all`) before each build that is to be cold.
Measured are the cells whose inputs are in the store. With CELLAR_BENCH_NVCC=1 the ops of CUDA cells
are compiled too, which takes hours; else only those that no nvcc compiles.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from builder.adapters.environment import variable
from builder.adapters.process import run
from builder.cli import building, wiring
from builder.commands.build import Built, Order, build, kept_wheels
from tests.bench import plain
from tests.bench.row import Row

IMAGE = "bevformer"
_LAYER_GOAL = (1 << 30) / 1e6


def rows() -> Iterator[Row]:
    """Yield the rows, each as soon as it is measured."""
    orders, _ = building.reachable(building.matrix(IMAGE), target="runtime")
    alone = 0.0
    for order in orders:
        seconds, busy = _timed(order)
        alone += seconds
        yield Row(what=f"{_cell(order)}: cold, op wheels in the store", ours=seconds, unit="s")
        if order.recipe.cell.cuda is None or variable("CELLAR_BENCH_NVCC", ""):
            _, compiling = _timed(replace(order, compile=True))
            minutes = (compiling - busy) / 60
            yield Row(what=f"{_cell(order)}: compiling its ops", ours=minutes, unit="CPU-min")
        yield from _second(order)
        yield from _layers(order)
    _prune()
    start = time.monotonic()
    run([str(Path(sys.prefix) / "bin" / "cellar"), "build", "--all"], cwd=wiring.root())
    together = time.monotonic() - start
    yield Row(
        what=f"the matrix, {len(orders)} cells",
        ours=together,
        unit="s",
        against="its cells one by one",
        theirs=alone,
        goal=1.0,
    )


def _second(order: Order) -> Iterator[Row]:
    start = time.monotonic()
    kept_wheels(order, building.tools("docker", building.work_folder(order, "docker")))
    seconds = time.monotonic() - start
    yield Row(what=f"{_cell(order)}: its ops, from the store", ours=seconds, unit="s", goal=10.0)
    start = time.monotonic()
    done = _build(order)
    seconds = time.monotonic() - start
    what = f"{_cell(order)}: built again, all inputs hashed"
    yield Row(what=what, ours=seconds, unit="s", goal=10.0)
    compiled = len(done.compiled)
    yield Row(what=f"{_cell(order)}: ops compiled again", ours=compiled, unit="ops", goal=0.0)


def _layers(order: Order) -> Iterator[Row]:
    sizes = plain.layer_sizes(order.tag)
    for number, size in enumerate(sizes, start=1):
        what = f"{_cell(order)}: layer {number} of {len(sizes)}, compressed"
        yield Row(what=what, ours=size / 1e6, unit="MB", goal=_LAYER_GOAL)


def _timed(order: Order) -> tuple[float, float]:
    """Build cold; return its seconds, and those that the processors of this machine were busy."""
    _prune()
    start, busy = time.monotonic(), _busy()
    _build(replace(order, cold=order.compile))  # cold, so that no object is taken from ccache
    return time.monotonic() - start, _busy() - busy


def _build(order: Order) -> Built:
    return build(order, building.tools("docker", building.work_folder(order, "docker")))


def _busy() -> float:
    # The engine's steps are no children of this process: /proc/stat counts whoever works, proc(5).
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system = map(int, words[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _cell(order: Order) -> str:
    return str(order.recipe.cell.id)


def _prune() -> None:
    run(["docker", "builder", "prune", "--all", "--force"])
