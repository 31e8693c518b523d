"""Requests and hosts become one cell, or one sentence; over the real matrix."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_matrix
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.resolve import Request, select
from builder.domain.version import CudaVersion, DriverVersion
from builder.errors import CellarError, HostError, UsageError

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
# Torch keeps `cpu` from x86-64; without its row the wheels that have a rebuild are all that does.
WITHOUT_TORCH = replace(
    MATRIX,
    tables=replace(
        MATRIX.tables,
        isa_floors=tuple(row for row in MATRIX.tables.isa_floors if row.distribution != "torch"),
    ),
)


LACKS = {one.distribution: one.lacks for one in MATRIX.tables.rebuilds("cpu")}


def capabilities(text: str) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability.parse(part) for part in text.split())


def request(cell: str = "", *, cuda: str = "", gpu: str = "", isa: str = "") -> Request:
    return Request(
        cell=cell or None,
        cuda=CudaVersion.parse(cuda) if cuda else None,
        isa=IsaLevel(isa) if isa else None,
        gpus=capabilities(gpu),
    )


def host(gpus: str = "", driver: str = "", isa: IsaLevel = IsaLevel.V4) -> Host:
    return Host(
        isa=isa,
        gpus=tuple(Gpu(name="GPU", capability=one) for one in capabilities(gpus)),
        driver=DriverVersion.parse(driver) if driver else None,
    )


@pytest.mark.parametrize(
    ("asked", "given", "variant", "archs", "why", "warnings"),
    [
        pytest.param(
            request(), host(), "cpu", "", "this host has no NVIDIA GPU", (), id="nothing-no-gpu"
        ),
        pytest.param(
            request(),
            host("9.0", "580.159.04"),
            "cu130",
            "7.5;8.0;8.6;9.0;10.0;12.0",
            "the newest that runs natively on GPU (9.0) with driver 580.159.04",
            (),
            id="nothing-h200",
        ),
        pytest.param(
            request(),
            host("8.6 8.6", "535.54.03"),
            "cu124",
            "7.0;7.5;8.0;8.6;9.0",
            "the newest that runs natively on GPU (8.6) with driver 535.54.03",
            (),
            id="nothing-older-driver",
        ),
        pytest.param(
            request(),
            host("7.0 12.0", "580.159.04"),
            "cu130",
            "7.5;8.0;8.6;9.0;10.0;12.0",
            "the newest that runs natively on GPU (12.0) with driver 580.159.04",
            (
                (
                    "cu130 on this host: torch 2.11.0 has sm_75 to sm_120 and no PTX,"
                    " nothing for GPU (7.0)"
                ),
            ),
            id="nothing-two-gpus-that-no-cell-serves-both",
        ),
        pytest.param(
            request(cuda="11.1"),
            host("8.6", "535.54.03"),
            "cu111",
            "6.0;7.0;7.5;8.0;8.6",
            "asked for",
            (),
            id="cuda",
        ),
        pytest.param(
            request("cu112-standin", gpu="8.6"),
            host("8.6", "535.54.03"),
            "cu112-standin-sm86",
            "8.6",
            "asked for",
            (
                (
                    "cu112-standin on this host: it only stands in for cu111, to try its build,"
                    " and no GPU runs it"
                ),
            ),
            id="stand-in-by-name",
        ),
        pytest.param(
            request("cu118"),
            host(),
            "cu118",
            "6.0;7.0;7.5;8.0;8.6;9.0",
            "asked for",
            ("cu118 on this host: this host has no NVIDIA GPU",),
            id="cell-elsewhere",
        ),
        pytest.param(
            request("cu124", cuda="12.4", isa="x86-64-v3"),
            host("8.6", "580.65.06", IsaLevel.V2),
            "cu124-x86-64-v3",
            "7.0;7.5;8.0;8.6;9.0",
            "asked for",
            ("cu124 on this host: the image is built for x86-64-v3 and this CPU has x86-64-v2",),
            id="cell-cuda-and-isa",
        ),
        pytest.param(
            request(isa="x86-64-v3"),
            host(),
            "cpu-x86-64-v3",
            "",
            "this host has no NVIDIA GPU",
            (),
            id="isa",
        ),
        pytest.param(
            request(gpu="8.6"),
            host(),
            "cu130-sm86",
            "8.6",
            "the best for the GPUs asked for",
            ("cu130 on this host: this host has no NVIDIA GPU",),
            id="gpu",
        ),
        pytest.param(
            request(gpu="8.6"),
            host("8.6", "470.57.02"),
            "cu118-sm86",
            "8.6",
            "the best for the GPUs asked for",
            (),
            id="gpu-with-this-driver",
        ),
        pytest.param(
            request(gpu="7.0 9.0"),
            host(),
            "cu124-sm70_90",
            "7.0;9.0",
            "the best for the GPUs asked for",
            ("cu124 on this host: this host has no NVIDIA GPU",),
            id="two-gpus",
        ),
        pytest.param(
            request("cu111", gpu="8.9"),
            host("8.9", "535.54.03"),
            "cu111-sm86",
            "8.6",
            "asked for",
            (),
            id="ada-by-sm86",
        ),
    ],
)
def test_a_cell_is_selected(  # noqa: PLR0913, PLR0917 - the columns of the table
    asked: Request, given: Host, variant: str, archs: str, why: str, warnings: tuple[str, ...]
) -> None:
    found = select(MATRIX, asked, given)
    assert (found.image, found.variant, found.arch_list, found.why, found.warnings) == (
        "bevformer",
        variant,
        archs,
        why,
        warnings,
    )


FLOORS = MATRIX.tables.floors("cpu")


def test_one_wheel_that_cannot_be_compiled_anew_keeps_a_cell_from_a_level() -> None:
    rows = (FLOORS[0], replace(FLOORS[1], rebuild=None))
    matrix = replace(MATRIX, tables=replace(MATRIX.tables, isa_floors=rows))
    with pytest.raises(UsageError) as caught:
        select(matrix, request("cpu", isa="x86-64"), host())
    assert (str(caught.value), caught.value.hint) == (
        f"cell cpu is built for x86-64-v2 or later, not for x86-64: {rows[1]}",
        "ISA=x86-64-v2 is the lowest for it",
    )


@pytest.mark.parametrize("isa", ["x86-64-v2", "x86-64-v3"])
def test_at_the_level_of_its_wheels_a_cell_takes_them_as_they_are(isa: str) -> None:
    assert select(MATRIX, request("cpu", isa=isa), host()).rebuilds == ()


KNOWN = "known are " + ", ".join(str(row.capability) for row in MATRIX.tables.gpu_architectures)
SERVES = "`cellar matrix` shows which cell serves which GPU"


@pytest.mark.parametrize(
    ("asked", "given", "error", "message", "hint"),
    [
        pytest.param(
            request("cu11"),
            host(),
            UsageError,
            "no cell is called 'cu11'; did you mean cu118?",
            "the cells are cpu, cu111, cu112-standin, cu118, cu124, cu130",
            id="unknown-cell",
        ),
        pytest.param(
            request(cuda="11.2"),
            host("7.0", "535.54.03"),
            UsageError,
            "no cell has CUDA 11.2; the nearest: cu111 (CUDA 11.1) and cu118 (CUDA 11.8)",
            "`cellar matrix` lists the cells",
            id="cuda-of-a-stand-in",
        ),
        pytest.param(
            request("cu112-standin", gpu="9.0"),
            host(),
            UsageError,
            (
                "cu112-standin has sm_60 to sm_86 and no PTX, nothing for Hopper (9.0);"
                " cu118 or later serves it"
            ),
            "`cellar matrix` shows which cell serves which GPU",
            id="stand-in-not-compiled-for-it",
        ),
        pytest.param(
            request(cuda="12.1"),
            host(),
            UsageError,
            "no cell has CUDA 12.1; the nearest: cu118 (CUDA 11.8) and cu124 (CUDA 12.4)",
            "`cellar matrix` lists the cells",
            id="cuda-between",
        ),
        pytest.param(
            request(cuda="10.2"),
            host(),
            UsageError,
            "no cell has CUDA 10.2; the nearest: cu111 (CUDA 11.1)",
            "`cellar matrix` lists the cells",
            id="cuda-older",
        ),
        pytest.param(
            request(cuda="14.0"),
            host(),
            UsageError,
            "no cell has CUDA 14.0; the nearest: cu130 (CUDA 13.0)",
            "`cellar matrix` lists the cells",
            id="cuda-newer",
        ),
        pytest.param(
            request("cu111", cuda="12.4"),
            host(),
            UsageError,
            "cell cu111 has CUDA 11.1, not CUDA 12.4",
            "ask for the cell or for the CUDA version, not for both",
            id="cell-against-cuda",
        ),
        pytest.param(
            request("cpu", cuda="12.4"),
            host(),
            UsageError,
            "cell cpu has no CUDA, not CUDA 12.4",
            "ask for the cell or for the CUDA version, not for both",
            id="cpu-against-cuda",
        ),
        pytest.param(
            request("cpu", gpu="8.6"),
            host(),
            UsageError,
            "cell cpu has no CUDA, nothing for Ampere (8.6); cu111 or later serves it",
            SERVES,
            id="cpu-against-gpu",
        ),
        pytest.param(
            request(cuda="11.1", gpu="8.6 9.0"),
            host(),
            UsageError,
            "torch 1.9.1+cu111 has sm_37 to sm_86 and no PTX, nothing for Hopper (9.0);"
            " cu118 or later serves it",
            SERVES,
            id="cuda-against-gpu",
        ),
        pytest.param(
            request(gpu="5.2"),
            host(),
            UsageError,
            "torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for Maxwell (5.2);"
            " no cell serves it",
            SERVES,
            id="gpu-too-old",
        ),
        pytest.param(
            request(gpu="7.0 12.0"),
            host(),
            UsageError,
            "torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for Volta (7.0);"
            " no cell serves it beside Blackwell (12.0)",
            SERVES,
            id="gpus-too-far-apart",
        ),
        pytest.param(
            request(gpu="8.5"),
            host(),
            UsageError,
            "no GPU has compute capability 8.5; did you mean 8.9?",
            KNOWN,
            id="no-such-gpu",
        ),
        pytest.param(
            request("cu124", isa="x86-64"),
            host(),
            UsageError,
            "cell cu124 is built for x86-64-v2 or later, not for x86-64: opencv-python-headless"
            " 4.14.0.94 needs sse3"
            " (cv2/cv2.abi3.so, 0x871920: movddup %xmm1,%xmm0)",
            "ISA=x86-64-v2 is the lowest for it",
            id="level-below-a-wheel",
        ),
        pytest.param(
            request("cu111", isa="x86-64"),
            host(),
            UsageError,
            "cell cu111 is built for x86-64-v2 or later, not for x86-64:"
            " nobody has audited its wheels below that",
            "ISA=x86-64-v2 is the lowest for it",
            id="level-below-what-was-audited",
        ),
        pytest.param(
            request(),
            host(isa=IsaLevel.V1),
            HostError,
            "cpu: the image is built for x86-64-v2 and this CPU has x86-64; no cell runs here",
            "CELL=cpu builds it for another host",
            id="old-cpu",
        ),
        pytest.param(
            request(),
            host("8.6", "580.65.06", isa=IsaLevel.V1),
            HostError,
            "cu130: the image is built for x86-64-v2 and this CPU has x86-64; no cell runs here",
            "CELL=cpu builds it for another host",
            id="old-cpu-with-gpu",
        ),
        pytest.param(
            request(),
            host("3.5", "470.57.02"),
            HostError,
            "cu130: torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for GPU (3.5)"
            " and driver 470.57.02 is older than 580.65.06, the oldest for CUDA 13.x;"
            " cpu runs here",
            "CELL=cpu builds for the CPU",
            id="no-cpu-in-silence-old-gpu",
        ),
        pytest.param(
            request(),
            host("3.5 5.2", "580.65.06"),
            HostError,
            "cu130: torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for GPU (3.5)"
            " and torch 2.11.0 has sm_75 to sm_120 and no PTX, nothing for GPU (5.2);"
            " cpu runs here",
            "CELL=cpu builds for the CPU",
            id="no-cpu-in-silence-two-old-gpus",
        ),
        pytest.param(
            request(),
            host("8.6", "390.157"),
            HostError,
            "cu130: driver 390.157 is older than 580.65.06, the oldest for CUDA 13.x;"
            " cpu runs here",
            "install NVIDIA driver 580.65.06 or later, or CELL=cpu builds for the CPU",
            id="no-cpu-in-silence-old-driver",
        ),
        pytest.param(
            request(),
            replace(host(), idle_gpu=True),
            HostError,
            "cu130: this host has an NVIDIA GPU that no driver serves; cpu runs here",
            "install NVIDIA driver 580.65.06 or later, or CELL=cpu builds for the CPU",
            id="no-cpu-in-silence-no-driver",
        ),
        pytest.param(
            request(),
            host("8.6"),
            HostError,
            "cu130: the driver's version is unknown; cpu runs here",
            "name it, as CELLAR_OVERRIDE_DRIVER=580.65.06, or CELL=cpu builds for the CPU",
            id="driver-unknown",
        ),
        pytest.param(
            request(),
            replace(host(driver="580.65.06"), gpus=(Gpu(name="GPU", capability=None),)),
            HostError,
            "cu130: the compute capability of GPU is unknown; cpu runs here",
            "name it, as CELLAR_OVERRIDE_GPU=8.6, or CELL=cpu builds for the CPU",
            id="gpu-unknown",
        ),
    ],
)
def test_what_cannot_be_served_gets_one_sentence(
    asked: Request, given: Host, error: type[CellarError], message: str, hint: str
) -> None:
    with pytest.raises(error) as caught:
        select(MATRIX, asked, given)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_level_below_two_wheels_that_are_compiled_anew() -> None:
    found = select(WITHOUT_TORCH, request("cpu", isa="x86-64"), host(isa=IsaLevel.V1))
    assert (found.variant, found.warnings) == (
        "cpu-x86-64",
        (
            (
                "opencv-python-headless 4.11.0.86 is compiled from its sdist for x86-64,"
                f" without {LACKS['opencv-python-headless']}"
            ),
            f"numpy 1.26.4 is compiled from its sdist for x86-64, without {LACKS['numpy']}",
        ),
    )


def test_a_level_that_only_compiling_anew_reaches_is_the_remedy() -> None:
    with pytest.raises(HostError) as caught:
        select(WITHOUT_TORCH, request(), host(isa=IsaLevel.V1))
    assert caught.value.hint == "CELL=cpu ISA=x86-64 builds it for this CPU"


def test_ptx_is_kept_with_its_architecture_and_serves_what_comes_later() -> None:
    ptx = ComputeCapability(9, 0)
    chosen = MATRIX.cell("cu124")
    cell = replace(chosen, ptx=ptx)
    builds = tuple(
        replace(row, code=replace(row.code, ptx=(ptx,))) if row.torch == cell.torch else row
        for row in MATRIX.tables.torch_builds
    )
    matrix = replace(
        MATRIX,
        cells=(MATRIX.cell("cpu"), cell),
        tables=replace(MATRIX.tables, torch_builds=builds),
    )
    given = host("12.0", "580.65.06")
    assert [
        (found.variant, found.arch_list, found.why)
        for found in (
            select(matrix, request(), given),
            select(matrix, request(gpu="12.0"), given),
            select(matrix, request(gpu="8.6"), given),
        )
    ] == [
        (
            "cu124",
            "7.0;7.5;8.0;8.6;9.0+PTX",
            "the newest that runs by PTX on GPU (12.0) with driver 580.65.06",
        ),
        ("cu124-sm90", "9.0+PTX", "the best for the GPUs asked for"),
        ("cu124-sm86", "8.6", "the best for the GPUs asked for"),
    ]
