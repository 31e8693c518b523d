"""Which cells the whole matrix is, as `cellar build --all` and `cellar bake` choose them."""

from collections.abc import Sequence

import pytest

from builder.adapters import process
from builder.adapters.host import host_resources
from builder.cli import building, main
from builder.domain.image import ImageRef
from builder.errors import CellarError, DataError, NetworkError
from tests.unit.commands import fakes

LACKS = NetworkError("cu118: the store lacks a.deb", hint="`cellar fetch --cell cu118` brings it")
STALE = DataError("lock/bevformer/cu124/lock.json: cell_digest: older", hint="`make lock`")

DIGEST = f"sha256:{'1' * 64}"
BUILT = f"cellar/bevformer:cpu@{DIGEST}\n"
FAILED = """\
compiling
  | a.cu(1): error: x
error: the build of runtime failed
  | error: x
 hint: y"""


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        pytest.param((), {"cpu", "cu111", "cu118", "cu124", "cu130"}, id="all-without-stand-ins"),
        pytest.param(("cu112-standin",), {"cu112-standin"}, id="a-stand-in-by-its-name"),
        pytest.param(("cu130", "cpu"), {"cpu", "cu130"}, id="named"),
    ],
)
def test_the_matrix_is_what_hosts_are_offered(names: tuple[str, ...], cells: set[str]) -> None:
    matrix = building.matrix("bevformer")
    here, absent = building.reachable(matrix, target="runtime", names=names)
    assert {order.recipe.cell.id for order in here} | set(absent) == cells


@pytest.mark.parametrize("option", ["--cell", "--cuda", "--gpu", "--isa"])
def test_the_whole_matrix_is_built_as_it_is(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--all", option, "cpu"]) == 2
    message = f"--all builds every cell as the matrix has it, so it takes no {option}"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "jobs", ["0", "-1", "1.5", "many", "", "10000", "\N{ARABIC-INDIC DIGIT TWO}"]
)
def test_jobs_are_a_count(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", f"--jobs={jobs}"]) == 2
    message = f"argument --jobs: {jobs!r} is no whole number from 1 to 9999"
    assert message in capsys.readouterr().err


def whole_matrix(
    monkeypatch: pytest.MonkeyPatch, absent: Sequence[CellarError], last_lines: str = ""
) -> None:
    """Let `build --all` find the cell cpu, whose build fails with `last_lines`, and `absent`."""
    engine, cells = fakes.FakeEngine(), ("cu118", "cu124")
    order = fakes.order()
    engine.images[order.tag] = ImageRef(tag=order.tag, digest=DIGEST)

    def stream(argv: Sequence[str], *_: object, **__: object) -> None:
        if last_lines:
            raise process.ToolError(argv, 7, last_lines)

    def reachable(*_: object, **__: object) -> object:
        return [order], dict(zip(cells, absent, strict=False))

    monkeypatch.setattr(building, "engine", lambda _: engine)
    monkeypatch.setattr(building, "reachable", reachable)
    monkeypatch.setattr(process, "stream", stream)


@pytest.mark.parametrize(
    ("absent", "last_lines", "code", "out"),
    [
        pytest.param([], "", 0, BUILT, id="built"),
        pytest.param([LACKS], "", 0, BUILT, id="inputs-absent"),
        pytest.param([LACKS, STALE], "", 9, BUILT, id="stale-lock"),
        pytest.param(
            [STALE],
            FAILED,
            7,
            "cpu: the build of runtime failed\n  | error: x\n hint: y\n",
            id="failed",
        ),
        pytest.param([], "Killed", 7, "cpu: Killed\n", id="died"),
    ],
)
def test_the_whole_matrix_ends_with_what_became_of_each_cell(  # noqa: PLR0913, PLR0917
    absent: Sequence[CellarError],
    last_lines: str,
    code: int,
    out: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole_matrix(monkeypatch, absent, last_lines)
    assert main(["build", "--all", "--jobs", "1"]) == code
    said = capsys.readouterr()
    assert said.out == out
    for error in absent:
        assert str(error).removeprefix("cu118: ") in said.err


@pytest.mark.parametrize(
    ("absent", "error"),
    [
        pytest.param([LACKS], "no cell that was asked for has all its inputs in the store", id="4"),
        pytest.param([LACKS, STALE], str(STALE), id="9"),
    ],
)
def test_nothing_to_build_is_an_error(absent: Sequence[CellarError], error: str) -> None:
    with pytest.raises(CellarError) as raised:
        building.left_out([], {str(number): one for number, one in enumerate(absent)})
    assert str(raised.value) == error


@pytest.mark.parametrize(
    ("memory", "jobs", "said"),
    [
        pytest.param(129 * 10**9, "64", False, id="enough"),
        pytest.param(None, "64", False, id="unknown"),
        pytest.param(5 * 10**9, "2", True, id="fewer"),
        pytest.param(1, "1", True, id="at-least-one"),
    ],
)
def test_memory_bounds_the_compilers_of_all_cells(
    memory: int | None,
    jobs: str,
    said: bool,  # noqa: FBT001 - a column of the table
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole_matrix(monkeypatch, [])
    asked: list[str] = []

    def stream(argv: Sequence[str], *_: object, **__: object) -> None:
        asked.append(argv[argv.index("--jobs") + 1])

    monkeypatch.setattr(process, "stream", stream)
    monkeypatch.setattr(host_resources, "available_memory", lambda: memory)
    assert main(["build", "--all", "--jobs", "64"]) == 0
    assert asked == [jobs]
    message = f"memory for {jobs} of 64 compilers at once; each takes up to 2 GB"
    assert (message in capsys.readouterr().err) is said
