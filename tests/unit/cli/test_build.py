"""Which cells the whole matrix is, as `cellar build --all` and `cellar bake` choose them."""

import pytest

from builder.cli import building, main


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
