"""What an image carries of its passport: complete, read back, one line, and no claim too much."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_image, load_matrix
from builder.commands.render import plain
from builder.domain.artifact import ArtifactKind
from builder.domain.lockfile import Lock, Unlocked
from builder.domain.sealed import Sealed, read_sealed, seal, sealed_document, sealed_text
from tests.unit.commands import fakes

IMAGE = load_image(fakes.ROOT / "images" / "bevformer" / "image.yaml")
MATRIX = load_matrix(fakes.ROOT / "images" / "bevformer" / "matrix.yaml")
MISSING = Unlocked(
    kind=ArtifactKind.SOURCE, name="mmdet3d", version="0.17.1", channel="git", reason="x"
)


def sealed(cell: str, lock: Lock | None = None) -> Sealed:
    return seal(IMAGE, plain(MATRIX, cell), MATRIX.tables, lock)


def test_the_cell_without_cuda() -> None:
    assert sealed_document(sealed("cpu")) == {
        "schema": 1,
        "image": "bevformer",
        "variant": "cpu",
        "cell": "cpu",
        "isa": "x86-64-v2",
        "gpu": None,
        "base": "Debian bookworm",
        "glibc": "2.36",
        "python": "3.11",
        "torch": "2.13.0+cpu",
        "packages": {"mmcv-full": "1.7.2"},
        "without": [],
    }


def test_a_cell_with_cuda_names_its_device_code_and_drivers() -> None:
    assert sealed_document(sealed("cu124"))["gpu"] == {
        "cuda": "12.4",
        "torch": {"cubins": ["5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "9.0"], "ptx": []},
        "ops": {"cubins": ["7.0", "7.5", "8.0", "8.6", "9.0"], "ptx": []},
        "driver": {"linux": "525.60.13", "windows": "527.41"},
        "ptx_driver": {"linux": "550.54.14", "windows": "551.61"},
    }


def test_a_stand_in_says_of_what_it_is_one() -> None:
    stand_in = sealed("cu112-standin")
    assert stand_in.stand_in == MATRIX.cell("cu112-standin").stand_in
    assert read_sealed(json.loads(sealed_text(stand_in))).stand_in == stand_in.stand_in


def test_a_source_that_is_absent_is_not_claimed() -> None:
    lock = replace(fakes.LOCK, unlocked=(MISSING,))
    found = sealed("cu124", lock)
    assert found.without == ("mmdet3d",)
    assert "mmdet3d" not in found.packages
    assert found.packages["mmcv-full"] == "1"  # as the lock has it


@pytest.mark.parametrize("cell", [cell.id for cell in MATRIX.cells])
def test_it_is_one_line_that_reads_back(cell: str) -> None:
    one = replace(sealed(cell), base="a 'quoted' base")
    text = sealed_text(one)
    assert "'" not in text
    assert "\n" not in text
    assert sealed_document(read_sealed(json.loads(text))) == sealed_document(one)


def test_the_golden_dockerfile_holds_it() -> None:
    text = (Path(fakes.ROOT) / "tests" / "golden" / "cpu.Dockerfile").read_text()
    assert f"ARG PASSPORT='{sealed_text(sealed('cpu'))}'" in text
