"""The matrix build: how many at once, what one failure costs, and how it ends."""

import threading
from collections.abc import Callable

import pytest

from builder.commands.build_matrix import CellBuild, build_matrix
from builder.errors import EngineError
from tests.unit.commands.fakes import Silence


@pytest.mark.parametrize(
    ("jobs", "at_once", "each"),
    [
        pytest.param(1, 1, 1, id="one"),
        pytest.param(2, 2, 1, id="two"),
        pytest.param(8, 3, 2, id="more-than-cells"),
    ],
)
def test_the_cells_share_the_compilers(jobs: int, at_once: int, each: int) -> None:
    guard, running, most, asked = threading.Lock(), set[str](), [0], set[int]()
    barrier = threading.Barrier(at_once)

    def build(cell: str, jobs: int, _: Callable[[str], None], __: threading.Event) -> None:
        with guard:
            running.add(cell)
            asked.add(jobs)
            most[0] = max(most[0], len(running))
        if cell != "late":
            barrier.wait(timeout=10)
        with guard:
            running.discard(cell)

    cells = ["a", "b", "c"][:at_once] if at_once > 1 else ["a"]
    done = build_matrix([*cells, *(["late"] if at_once < 3 else [])], build, Silence(), jobs=jobs)
    assert [one.fault for one in done] == [""] * len(done)
    assert (most[0], asked) == (at_once, {each})


def test_a_cell_that_fails_keeps_no_other_from_its_image() -> None:
    def build(cell: str, _: int, hear: Callable[[str], None], __: threading.Event) -> None:
        hear(f"step of {cell}")
        if cell == "b":
            message = "nvcc refused"
            raise EngineError(message)

    done = build_matrix(["a", "b", "c"], build, Silence(), jobs=2)
    assert done == (
        CellBuild(cell="a"),
        CellBuild(cell="b", fault="nvcc refused"),
        CellBuild(cell="c"),
    )


def test_an_interrupt_ends_what_runs_and_begins_nothing_more() -> None:
    begun, ended = [], threading.Event()

    def build(cell: str, _: int, __: Callable[[str], None], ending: threading.Event) -> None:
        begun.append(cell)
        if cell == "a":
            raise KeyboardInterrupt
        assert ending.wait(10)  # compiling, and saying nothing
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        build_matrix(["a", "b", "c", "d"], build, Silence(), jobs=2)
    assert ended.is_set() or begun == ["a"]
    assert "d" not in begun
