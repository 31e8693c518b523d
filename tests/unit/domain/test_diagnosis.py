"""The doctor's findings: each reason with its remedy, over the real matrix."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.data.datafiles import load_matrix
from builder.domain.diagnosis import Resources, diagnose
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.verdict import Verdict
from builder.domain.version import DriverVersion

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
ROOMY = Resources(cpus=8, memory=2**35, store_free=2**40, gpu_containers=True)


def host(gpu: str = "", driver: str = "", *, wsl: bool = False, idle: bool = False) -> Host:
    return Host(
        isa=IsaLevel.V3,
        gpus=(Gpu(name="GPU", capability=ComputeCapability.parse(gpu)),) if gpu else (),
        driver=DriverVersion.parse(driver) if driver else None,
        wsl=wsl,
        idle_gpu=idle,
    )


@pytest.mark.parametrize(
    ("cell", "given", "verdict", "findings"),
    [
        pytest.param("cpu", host(), Verdict.OK, [], id="cpu"),
        pytest.param("cu130", host("9.0", "580.159.04"), Verdict.OK, [], id="gpu"),
        pytest.param(
            "cu118",
            host(),
            Verdict.VIOLATION,
            [("gpu-absent", "take another cell: cpu runs here")],
            id="no-gpu",
        ),
        pytest.param(
            "cu118",
            host(idle=True),
            Verdict.VIOLATION,
            [
                (
                    "gpu-absent",
                    "install NVIDIA driver 450.80.02 or later, or take another cell: cpu runs here",
                )
            ],
            id="idle-gpu",
        ),
        pytest.param(
            "cu130",
            host("8.6", "535.54.03"),
            Verdict.VIOLATION,
            [
                (
                    "driver-old",
                    (
                        "install NVIDIA driver 580.65.06 or later, or take another cell:"
                        " cu124 or earlier runs here"
                    ),
                )
            ],
            id="old-driver",
        ),
        pytest.param(
            "cu130",
            host("8.6", "537.13", wsl=True),
            Verdict.VIOLATION,
            [
                (
                    "driver-old",
                    (
                        "install the Windows driver 580 or later, or take another cell:"
                        " cu124 or earlier runs here"
                    ),
                )
            ],
            id="old-windows-driver",
        ),
        pytest.param(
            "cu111",
            host("9.0", "580.65.06"),
            Verdict.VIOLATION,
            [("gpu-arch", "take another cell: cu118 or later runs here")],
            id="arch",
        ),
        pytest.param(
            "cu118",
            host("8.6"),
            Verdict.UNKNOWN,
            [("driver-unknown", "name the driver, as CELLAR_OVERRIDE_DRIVER=580.65.06")],
            id="driver-unknown",
        ),
        pytest.param(
            "cu118",
            replace(host(driver="580.65.06"), gpus=(Gpu(name="GPU", capability=None),)),
            Verdict.UNKNOWN,
            [("gpu-unknown", "name the compute capability, as CELLAR_OVERRIDE_GPU=8.6")],
            id="gpu-unknown",
        ),
    ],
)
def test_each_reason_has_its_remedy(
    cell: str, given: Host, verdict: Verdict, findings: list[tuple[str, str]]
) -> None:
    found = diagnose(MATRIX.cell(cell), given, ROOMY, MATRIX)
    assert found.verdict is verdict
    assert [(each.code, each.remedy) for each in found.findings] == findings
    assert [each.cell.id for each in found.cells] == [each.id for each in MATRIX.cells]


def test_a_lower_level_can_be_built() -> None:
    found = diagnose(MATRIX.cell("cpu"), host(), ROOMY, MATRIX, isa=IsaLevel.V4)
    assert [(each.code, each.remedy) for each in found.findings] == [
        ("cpu-level", "build it for this CPU: ISA=x86-64-v3")
    ]


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        pytest.param("cpu", "take another host: no cell runs here", id="kept-by-torch"),
        pytest.param("cu124", "take another host: no cell runs here", id="kept-by-a-wheel"),
        pytest.param("cu111", "take another host: no cell runs here", id="never-audited-below"),
    ],
)
def test_a_cpu_below_the_cells_level(cell: str, remedy: str) -> None:
    old = replace(host("8.6", "580.65.06"), isa=IsaLevel.V1)
    found = diagnose(MATRIX.cell(cell), old, ROOMY, MATRIX)
    assert [(each.code, each.remedy) for each in found.findings] == [("cpu-level", remedy)]


def test_a_cpu_that_only_compiling_anew_serves() -> None:
    floors = tuple(row for row in MATRIX.tables.isa_floors if row.distribution != "torch")
    matrix = replace(MATRIX, tables=replace(MATRIX.tables, isa_floors=floors))
    found = diagnose(matrix.cell("cpu"), replace(host(), isa=IsaLevel.V1), ROOMY, matrix)
    assert [(each.code, each.remedy) for each in found.findings] == [
        ("cpu-level", "build it for this CPU: ISA=x86-64")
    ]


def test_ptx_has_a_driver_of_its_own() -> None:
    ptx = ComputeCapability(9, 0)
    cell = replace(MATRIX.cell("cu124"), ptx=ptx)
    builds = tuple(
        replace(row, code=replace(row.code, ptx=(ptx,))) if row.torch == cell.torch else row
        for row in MATRIX.tables.torch_builds
    )
    matrix = replace(MATRIX, tables=replace(MATRIX.tables, torch_builds=builds))
    found = diagnose(cell, host("12.0", "535.54.03"), ROOMY, matrix)
    assert [(each.code, each.remedy) for each in found.findings] == [
        (
            "ptx-driver",
            "install NVIDIA driver 550.54.14 or later, or take another cell: cpu runs here",
        )
    ]


@pytest.mark.parametrize(
    ("cell", "given", "resources", "codes"),
    [
        pytest.param(
            "cu130",
            host("9.0", "580.65.06"),
            replace(ROOMY, gpu_containers=False),
            ["gpu-containers"],
            id="no-container-toolkit",
        ),
        pytest.param(
            "cu130",
            host("9.0", "580.88", wsl=True),
            replace(ROOMY, linux_driver=True),
            ["wsl-linux-driver"],
            id="linux-driver-under-wsl",
        ),
        pytest.param(
            "cu130",
            host("9.0", "580.65.06"),
            replace(ROOMY, linux_driver=True),
            [],
            id="linux-driver-on-linux",
        ),
        pytest.param(
            "cpu",
            host("9.0", "580.65.06"),
            replace(ROOMY, gpu_containers=False),
            [],
            id="cpu-needs-no-toolkit",
        ),
    ],
)
def test_what_the_host_itself_lacks(
    cell: str, given: Host, resources: Resources, codes: list[str]
) -> None:
    found = diagnose(MATRIX.cell(cell), given, resources, MATRIX)
    assert [each.code for each in found.findings] == codes
    assert all(each.text and each.remedy for each in found.findings)
