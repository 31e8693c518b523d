"""What `cellar doctor` says of a host: lines for people, JSON under its published schema."""

from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_matrix
from builder.adapters.data.schemas import validator
from builder.commands import doctor as command
from builder.domain.diagnosis import Resources, diagnose
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.version import DriverVersion

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
ROOMY = Resources(cpus=8, memory=2**34, store_free=3 * 2**29, gpu_containers=True)
GPU = Gpu(name="NVIDIA H100", capability=ComputeCapability(9, 0), memory=80 * 2**30)
H100 = Host(isa=IsaLevel.V4, gpus=(GPU,), driver=DriverVersion.parse("535.54.03"))


@pytest.mark.parametrize(
    ("host", "resources", "lines"),
    [
        pytest.param(
            H100,
            ROOMY,
            [
                "CPU     x86-64-v4, 8 to use, 16.0 GiB memory",
                "GPU     NVIDIA H100 (9.0), 80.0 GiB",
                "driver  535.54.03",
                "store   1.5 GiB free",
            ],
            id="gpu",
        ),
        pytest.param(
            Host(isa=IsaLevel.V1, wsl=True),
            Resources(cpus=1, memory=None, store_free=None),
            [
                "CPU     x86-64, 1 to use, unknown memory",
                "GPU     none",
                "driver  none (Windows, through WSL)",
                "store   unknown free",
            ],
            id="wsl-without-gpu",
        ),
        pytest.param(
            Host(isa=IsaLevel.V1, idle_gpu=True),
            ROOMY,
            [
                "CPU     x86-64, 8 to use, 16.0 GiB memory",
                "GPU     an NVIDIA GPU that no driver serves",
                "driver  none",
                "store   1.5 GiB free",
            ],
            id="idle-gpu",
        ),
    ],
)
def test_what_the_host_has(host: Host, resources: Resources, lines: list[str]) -> None:
    assert list(command.host_lines(host, resources)) == lines


@pytest.mark.parametrize(
    ("cell", "host", "lines"),
    [
        pytest.param("cu124", H100, ["cu124 runs here; next: make image CELL=cu124"], id="runs"),
        pytest.param(
            "cu130",
            H100,
            [
                (
                    "cu130: driver 535.54.03 is older than 580.65.06, the oldest for CUDA 13.x"
                    " [driver-old]"
                ),
                (
                    "  remedy: install NVIDIA driver 580.65.06 or later, or take another cell:"
                    " cu118 or cu124 runs here"
                ),
            ],
            id="driver",
        ),
        pytest.param(
            "cu130",
            Host(isa=IsaLevel.V4, gpus=(GPU,)),
            [
                "cu130 (unknown): the driver's version is unknown [driver-unknown]",
                "  remedy: name the driver, as CELLAR_OVERRIDE_DRIVER=580.65.06",
            ],
            id="unknown",
        ),
    ],
)
def test_what_stands_against_a_cell(cell: str, host: Host, lines: list[str]) -> None:
    diagnosis = diagnose(MATRIX.cell(cell), host, ROOMY, MATRIX)
    assert list(command.finding_lines(MATRIX.cell(cell), diagnosis)) == lines


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(H100, id="gpu"),
        pytest.param(Host(isa=IsaLevel.V1), id="none"),
        pytest.param(Host(isa=IsaLevel.V1, gpus=(Gpu(name="x", capability=None),)), id="unknown"),
    ],
)
def test_the_document_keeps_its_schema(host: Host) -> None:
    cell = MATRIX.cell("cu130")
    found = command.document(cell, host, ROOMY, diagnose(cell, host, ROOMY, MATRIX))
    assert list(validator("doctor").iter_errors(found)) == []
