"""`build --all`: every cell whose inputs are here, a bounded number at a time."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from builder.domain.progress import Progress, Task
from builder.errors import CellarError

# Builds one cell with so many compilers, hands on each line that it prints, and ends when told to.
Build = Callable[[str, int, Callable[[str], None], threading.Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBuild:
    """How one cell's build ended; `fault` is empty where it was built."""

    cell: str
    fault: str = ""


def build_matrix(
    cells: Sequence[str], build: Build, progress: Progress, *, jobs: int
) -> tuple[CellBuild, ...]:
    """Build `cells`, with `jobs` compilers in all; one that fails keeps no other from its image.

    The cells share the compilers evenly. When interrupted, every build that has begun is ended.
    """
    at_once = max(1, min(jobs, len(cells)))
    ending = threading.Event()

    def one(cell: str) -> CellBuild:
        task = progress.task(f"{cell}: waiting")

        def hear(line: str) -> None:
            _tell(task, cell, line)

        try:
            if not ending.is_set():
                build(cell, max(1, jobs // at_once), hear, ending)
        except CellarError as error:
            task.describe(f"{cell}: failed")
            return CellBuild(cell=cell, fault=str(error))
        finally:
            task.finish()
        return CellBuild(cell=cell)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            running = [pool.submit(one, cell) for cell in cells]
            return tuple(each.result() for each in running)
        except BaseException:
            ending.set()
            raise


def _tell(task: Task, cell: str, line: str) -> None:
    if line.strip():
        task.describe(f"{cell}: {line.strip()}")
