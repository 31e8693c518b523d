"""Which wheels a cell takes, and which of several."""

import pytest

from builder.domain.version import PythonVersion
from builder.domain.wheel_tags import Candidate, best_wheel, fits, tags_of, wheel_tags
from tests.unit.lock_examples import MATRIX

BOOKWORM = wheel_tags(PythonVersion(3, 11), 36)


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_36_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux_2_37_x86_64.whl", False),
        ("a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux1_x86_64.whl", True),
        ("a-1-cp37-abi3-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp312-abi3-manylinux_2_28_x86_64.whl", False),
        ("a-1-py3-none-manylinux_2_27_x86_64.whl", True),
        ("a-1-cp311-cp311-linux_x86_64.whl", True),
        ("a-1-cp311-cp311-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp311-cp311-win_amd64.whl", False),
        ("a-1-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311d-manylinux_2_17_x86_64.whl", False),
        ("a-1-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl", False),
        ("a-1.tar.gz", False),
        ("no wheel at all.whl", False),
    ],
)
def test_fits_bookworm(filename: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert fits(filename, BOOKWORM) is expected


@pytest.mark.parametrize(
    ("cell", "newest"),
    [
        ("cpu", "cp311-cp311-manylinux_2_36_x86_64"),
        ("cu111", "cp38-cp38-manylinux_2_31_x86_64"),
        ("cu118", "cp310-cp310-manylinux_2_35_x86_64"),
        ("cu124", "cp313-cp313-manylinux_2_41_x86_64"),
        ("cu130", "cp311-cp311-manylinux_2_36_x86_64"),
    ],
)
def test_best_tag_of_each_cell(cell: str, newest: str) -> None:
    assert str(tags_of(MATRIX.cell(cell))[0]) == newest


@pytest.mark.parametrize(
    ("filenames", "expected"),
    [
        pytest.param(
            ["a-1-py3-none-any.whl", "a-1-cp311-cp311-manylinux1_x86_64.whl"],
            "a-1-cp311-cp311-manylinux1_x86_64.whl",
            id="own-build-before-pure",
        ),
        pytest.param(
            [
                "a-1-cp311-cp311-manylinux_2_17_x86_64.whl",
                "a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
            ],
            "a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
            id="newest-glibc-that-fits",
        ),
        pytest.param(
            ["a-1-2-py3-none-any.whl", "a-1-10-py3-none-any.whl"],
            "a-1-10-py3-none-any.whl",
            id="highest-build-number",
        ),
        pytest.param(["a-1.tar.gz", "a-1-cp39-cp39-win32.whl"], None, id="nothing-fits"),
        pytest.param([], None, id="nothing-offered"),
    ],
)
def test_best_wheel_whatever_the_order(filenames: list[str], expected: str | None) -> None:
    offered = [Candidate(filename=filename, sha256="") for filename in filenames]
    for order in (offered, offered[::-1]):
        best = best_wheel(order, BOOKWORM)
        assert (best and best.filename) == expected
