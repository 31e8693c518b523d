"""What the matrix answers about its cells."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_matrix
from builder.domain.gpu import ComputeCapability
from builder.domain.matrix import DebianBase, RegistryBase
from builder.domain.version import CudaVersion
from builder.errors import UsageError

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")


def test_the_compiler_is_the_newest_of_the_base_that_nvcc_takes() -> None:
    assert {cell.id: MATRIX.gcc(cell) for cell in MATRIX.cells} == {
        "cpu": 12,
        "cu111": 9,
        "cu112-standin": 9,
        "cu118": 11,
        "cu124": 13,
        "cu130": 12,
    }


def test_a_toolkit_or_base_without_a_row_has_no_compiler() -> None:
    cell = MATRIX.cell("cu124")
    with pytest.raises(KeyError):
        MATRIX.gcc(replace(cell, cuda=CudaVersion(14, 0)))
    with pytest.raises(KeyError):
        MATRIX.gcc(replace(cell, base=DebianBase(suite="forky")))
    with pytest.raises(ValueError, match="empty"):
        MATRIX.gcc(replace(cell, cuda=CudaVersion(11, 1)))


def test_which_cells_hold_upstreams_own_code() -> None:
    assert [cell.id for cell in MATRIX.cells if cell.holds_upstream] == [
        "cu111",
        "cu112-standin",
        "cu118",
        "cu124",
        "cu130",
    ]


def test_a_stand_in_is_offered_to_nobody() -> None:
    assert [cell.id for cell in MATRIX.cells if cell not in MATRIX.offered] == ["cu112-standin"]


def test_the_architectures_as_torch_writes_them() -> None:
    cell = MATRIX.cell("cu124")
    assert cell.arch_list == "7.0;7.5;8.0;8.6;9.0"
    assert replace(cell, ptx=ComputeCapability(9, 0)).arch_list == "7.0;7.5;8.0;8.6;9.0+PTX"
    assert MATRIX.cell("cpu").arch_list == ""


def test_a_base_in_words() -> None:
    digest = "sha256:" + 64 * "0"
    registry = RegistryBase(reference="docker.io/a/b:c", digest=digest, os="ubuntu20.04")
    assert (str(registry), str(DebianBase(suite="trixie"))) == ("a/b:c", "Debian trixie")


def test_an_unknown_cell_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no cell is called 'gpu'") as caught:
        MATRIX.cell("gpu")
    assert caught.value.hint == "the cells are cpu, cu111, cu112-standin, cu118, cu124, cu130"
