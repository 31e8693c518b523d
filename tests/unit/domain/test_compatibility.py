"""The arithmetic of compatibility over the real matrix, each answer with its source."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_matrix
from builder.domain.compatibility import cells_in_words, explain, judge, working
from builder.domain.gpu import CodeMode, ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Matrix
from builder.domain.verdict import Verdict
from builder.domain.version import DriverVersion

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
H100 = Gpu(name="an H100", capability=ComputeCapability(9, 0))


def gpu(capability: str | None) -> Gpu:
    parsed = ComputeCapability.parse(capability) if capability else None
    return Gpu(name="GPU", capability=parsed)


def host(
    gpus: str = "", driver: str = "", *, isa: IsaLevel = IsaLevel.V4, wsl: bool = False
) -> Host:
    return Host(
        isa=isa,
        gpus=tuple(gpu(text) for text in gpus.split()),
        driver=DriverVersion.parse(driver) if driver else None,
        wsl=wsl,
    )


def with_ptx(matrix: Matrix, cell: str, ptx: str) -> Matrix:
    """Return the matrix as if this cell's torch and ops carried PTX too."""
    capability = ComputeCapability.parse(ptx)
    chosen = matrix.cell(cell)
    cells = tuple(
        replace(each, ptx=capability) if each is chosen else each for each in matrix.cells
    )
    builds = tuple(
        replace(row, code=replace(row.code, ptx=(capability,)))
        if row.torch == chosen.torch
        else row
        for row in matrix.tables.torch_builds
    )
    tables = replace(matrix.tables, torch_builds=builds)
    return replace(matrix, cells=cells, tables=tables)


# The driver here is newer than all floors, so that only device code decides.
@pytest.mark.parametrize(
    ("capability", "cells"),
    [
        # pytorch/builder: +cu111 has sm_37 up but the ops begin with Pascal, so nothing for Kepler
        # and Maxwell; CUDA 13 dropped everything before Turing (release notes 13.1, 2.5.2).
        pytest.param("3.7", "cpu", id="kepler"),
        pytest.param("5.2", "cpu", id="maxwell"),
        pytest.param("6.0", "cpu cu111 cu118", id="pascal"),
        pytest.param("6.1", "cpu cu111 cu118", id="gtx1080-runs-sm60"),
        pytest.param("7.0", "cpu cu111 cu118 cu124", id="volta"),
        pytest.param("7.5", "cpu cu111 cu118 cu124 cu130", id="turing"),
        pytest.param("8.6", "cpu cu111 cu118 cu124 cu130", id="ga10x"),
        pytest.param("8.9", "cpu cu111 cu118 cu124 cu130", id="ada-runs-sm86"),
        # cog: torch 2.0.1+cu118 is the floor of sm_90, 2.7.0+cu128 that of sm_100 and sm_120.
        pytest.param("9.0", "cpu cu118 cu124 cu130", id="hopper"),
        pytest.param("10.0", "cpu cu130", id="b200"),
        pytest.param("10.3", "cpu cu130", id="b300-runs-sm100"),
        pytest.param("12.0", "cpu cu130", id="rtx5090"),
        # nixpkgs marks these as Jetson, DGX Spark has an Arm CPU.
        pytest.param("8.7", "cpu", id="orin"),
        pytest.param("12.1", "cpu", id="spark"),
    ],
)
def test_cells_by_gpu(capability: str, cells: str) -> None:
    found = working(host(capability, "700.00"), MATRIX)
    assert " ".join(cell.id for cell in found) == cells


# Turing runs all cells, so that only the driver decides. Floors: CUDA Compatibility, table 1.
@pytest.mark.parametrize(
    ("driver", "cells"),
    [
        pytest.param("418.39", "cpu", id="cuda-10"),
        pytest.param("450.51.06", "cpu", id="cuda-11.0-before-minor-version-compatibility"),
        pytest.param("450.80.02", "cpu cu111 cu118", id="11.x-floor"),
        pytest.param("470.57.02", "cpu cu111 cu118", id="11.4-runs-11.8-by-minor-version"),
        pytest.param("525.60.12", "cpu cu111 cu118", id="just-below-12.x"),
        pytest.param("525.60.13", "cpu cu111 cu118 cu124", id="12.0-runs-12.4"),
        pytest.param("575.57.08", "cpu cu111 cu118 cu124", id="12.9"),
        pytest.param("580.65.06", "cpu cu111 cu118 cu124 cu130", id="13.x-floor"),
        pytest.param("615.10", "cpu cu111 cu118 cu124 cu130", id="newer-runs-older"),
    ],
)
def test_cells_by_driver(driver: str, cells: str) -> None:
    assert " ".join(cell.id for cell in working(host("7.5", driver), MATRIX)) == cells


# Windows floors: the same pages' Windows columns; 13.x has no number beyond its branch.
@pytest.mark.parametrize(
    ("driver", "cells"),
    [
        pytest.param("452.38", "cpu", id="below-11.x"),
        pytest.param("452.39", "cpu cu111 cu118", id="11.x"),
        pytest.param("527.41", "cpu cu111 cu118 cu124", id="12.x"),
        pytest.param("580.88", "cpu cu111 cu118 cu124 cu130", id="13.x"),
    ],
)
def test_cells_by_windows_driver_under_wsl(driver: str, cells: str) -> None:
    found = working(host("7.5", driver, wsl=True), MATRIX)
    assert " ".join(cell.id for cell in found) == cells


@pytest.mark.parametrize(
    ("cell", "given", "sentence"),
    [
        pytest.param(
            "cu111",
            replace(host(driver="580.65.06"), gpus=(H100,)),
            "cu111: torch 1.9.1+cu111 has sm_37 to sm_86 and no PTX, nothing for an H100 (9.0);"
            " cu118 or later runs here",
            id="h100",
        ),
        pytest.param(
            "cu130",
            host("7.0", "580.65.06"),
            "cu130: torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for GPU (7.0);"
            " cu124 or earlier runs here",
            id="volta",
        ),
        pytest.param(
            "cu111",
            host("5.2", "580.65.06"),
            "cu111: the ops have sm_60 to sm_86 and no PTX, nothing for GPU (5.2); cpu runs here",
            id="ops-only",
        ),
        pytest.param(
            "cu124",
            host("8.6", "470.57.02"),
            "cu124: driver 470.57.02 is older than 525.60.13, the oldest for CUDA 12.x;"
            " cu118 or earlier runs here",
            id="driver",
        ),
        pytest.param(
            "cu124",
            host("8.6", "512.15", wsl=True),
            "cu124: Windows driver 512.15 is older than 527.41, the oldest for CUDA 12.x;"
            " cu118 or earlier runs here",
            id="windows-driver",
        ),
        pytest.param(
            "cu111",
            host("9.0", "535.54.03"),
            "cu111: torch 1.9.1+cu111 has sm_37 to sm_86 and no PTX, nothing for GPU (9.0);"
            " cu118 or cu124 runs here",
            id="two-in-the-middle",
        ),
        pytest.param(
            "cu130",
            host("12.0", "570.26"),
            "cu130: driver 570.26 is older than 580.65.06, the oldest for CUDA 13.x; cpu runs here",
            id="only-cpu",
        ),
        pytest.param(
            "cu118",
            host("8.7", "580.65.06"),
            "cu118: Ampere 8.7 (Jetson Orin) sits in aarch64 boards only; cpu runs here",
            id="board",
        ),
        pytest.param(
            "cu118",
            host(),
            "cu118: this host has no NVIDIA GPU; cpu runs here",
            id="no-gpu",
        ),
        pytest.param(
            "cu118",
            replace(host(), idle_gpu=True),
            "cu118: this host has an NVIDIA GPU that no driver serves; cpu runs here",
            id="idle-gpu",
        ),
        pytest.param(
            "cu118",
            host("8.6"),
            "cu118: the driver's version is unknown; cpu runs here",
            id="driver-unknown",
        ),
        pytest.param(
            "cu118",
            replace(host(driver="580.65.06"), gpus=(gpu(None),)),
            "cu118: the compute capability of GPU is unknown; cpu runs here",
            id="gpu-unknown",
        ),
        pytest.param("cu118", host("8.6", "580.65.06"), "cu118 runs on this host", id="runs"),
    ],
)
def test_the_reason_is_minimal_and_names_the_nearest_cells(
    cell: str, given: Host, sentence: str
) -> None:
    assert explain(MATRIX.cell(cell), given, MATRIX) == sentence


def test_no_gpu_before_pascal_works_under_wsl() -> None:
    wide = replace(MATRIX.cell("cu118"), gpu_archs=(ComputeCapability(5, 0),))
    matrix = replace(MATRIX, cells=(MATRIX.cell("cpu"), wide))
    assert judge(wide, host("5.2", "580.88"), matrix).verdict is Verdict.OK
    assert judge(wide, host("5.2", "580.88", wsl=True), matrix).sentence == (
        "WSL serves GPUs from Pascal (6.0) on, not GPU (5.2)"
    )


# PTX of CUDA 12.4 asks for the driver that came with 12.4, not only for that of 12.0.
@pytest.mark.parametrize(
    ("driver", "wsl", "verdict", "text"),
    [
        pytest.param("550.54.14", False, Verdict.OK, "", id="own-driver"),
        pytest.param("551.61", True, Verdict.OK, "", id="own-windows-driver"),
        pytest.param(
            "535.54.03",
            False,
            Verdict.VIOLATION,
            "driver 535.54.03 is older than 550.54.14, the oldest for PTX of CUDA 12.4",
            id="minor-version-compatibility-has-no-ptx",
        ),
    ],
)
def test_ptx_asks_for_the_toolkits_own_driver(
    driver: str,
    wsl: bool,  # noqa: FBT001 - a column of the table
    verdict: Verdict,
    text: str,
) -> None:
    matrix = with_ptx(MATRIX, "cu124", "9.0")
    found = judge(matrix.cell("cu124"), host("12.0", driver, wsl=wsl), matrix)
    assert (found.mode, found.verdict, found.sentence) == (CodeMode.JIT, verdict, text)


def test_ptx_of_a_toolkit_without_a_windows_driver_is_unknown() -> None:
    matrix = with_ptx(MATRIX, "cu130", "7.5")
    cell = replace(matrix.cell("cu130"), gpu_archs=(ComputeCapability(7, 5),))
    found = judge(cell, host("8.0", "600.00", wsl=True), matrix)
    assert (found.verdict, found.sentence) == (
        Verdict.UNKNOWN,
        "no table says which Windows driver compiles PTX of CUDA 13.0",
    )


@pytest.mark.parametrize(
    ("cell", "asked", "given", "sentence"),
    [
        pytest.param("cpu", None, IsaLevel.V2, "", id="default-level"),
        pytest.param("cpu", IsaLevel.V3, IsaLevel.V3, "", id="same"),
        pytest.param(
            "cpu",
            IsaLevel.V3,
            IsaLevel.V2,
            "the image is built for x86-64-v3 and this CPU has x86-64-v2",
            id="above",
        ),
        pytest.param(
            "cu118",
            IsaLevel.V4,
            IsaLevel.V3,
            "this host has no NVIDIA GPU"
            " and the image is built for x86-64-v4 and this CPU has x86-64-v3",
            id="both",
        ),
    ],
)
def test_the_cpu_must_have_the_level_of_the_image(
    cell: str, asked: IsaLevel | None, given: IsaLevel, sentence: str
) -> None:
    assert judge(MATRIX.cell(cell), host(isa=given), MATRIX, isa=asked).sentence == sentence


def test_a_violation_outweighs_what_is_unknown() -> None:
    mixed = replace(host("3.5"), gpus=(gpu("3.5"), gpu(None)))
    found = judge(MATRIX.cell("cu118"), mixed, MATRIX)
    assert [reason.code for reason in found.reasons] == [
        "gpu-arch",
        "gpu-unknown",
        "driver-unknown",
    ]
    assert (found.verdict, found.mode) == (Verdict.VIOLATION, CodeMode.NONE)


def test_the_worst_gpu_decides_the_mode() -> None:
    matrix = with_ptx(MATRIX, "cu124", "9.0")
    found = judge(matrix.cell("cu124"), host("8.6 12.0", "600.00"), matrix)
    assert (found.mode, found.verdict) == (CodeMode.JIT, Verdict.OK)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        pytest.param("cu111 cu118 cu124 cu130", "cu111 or later", id="all"),
        pytest.param("cpu cu118 cu124 cu130", "cu118 or later", id="later"),
        pytest.param("cpu cu111 cu118", "cu118 or earlier", id="earlier"),
        pytest.param("cu130", "cu130", id="last"),
        pytest.param("cu111 cu130", "cu111 or cu130", id="apart"),
        pytest.param("cpu", "cpu", id="cpu"),
        pytest.param("", "no cell", id="none"),
    ],
)
def test_cells_in_words(ids: str, words: str) -> None:
    cells = tuple(MATRIX.cell(name) for name in ids.split())
    assert cells_in_words(cells, MATRIX) == words
