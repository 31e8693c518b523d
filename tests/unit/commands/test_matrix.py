"""What `cellar matrix` says: whole tables, and JSON under its published schema."""

import json
from pathlib import Path

from builder.adapters.data.datafiles import load_matrix
from builder.adapters.data.schemas import validator
from builder.commands import matrix as command
from builder.domain.cell_state import CellState
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell
from builder.domain.version import DriverVersion

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
HOST = Host(
    isa=IsaLevel.V3,
    gpus=(Gpu(name="NVIDIA H100", capability=ComputeCapability(9, 0)),),
    driver=DriverVersion.parse("535.54.03"),
)
UNKNOWN = Host(isa=IsaLevel.V3, gpus=HOST.gpus)


def state(cell: Cell) -> CellState:
    return CellState(locked=cell.id == "cpu", quoted=2 if cell.id == "cpu" else 0)


def test_the_table_for_a_terminal() -> None:
    rows = command.table(command.report(MATRIX, HOST, state))
    assert ["|".join(row.values()) for row in rows] == [
        "cpu|none|2.13.0+cpu|3.11|bookworm|none|none|locked|runs",
        "cu111|11.1|1.9.1+cu111|3.8|ubuntu20.04|6.0 to 8.9|450.80.02|declared|no",
        "cu112-standin|11.2|1.9.1|3.9|bullseye|none|none|declared|no",
        "cu118|11.8|2.0.1+cu118|3.10|ubuntu22.04|6.0 to 9.0|450.80.02|declared|runs",
        "cu124|12.4|2.6.0|3.13|trixie|7.0 to 9.0|525.60.13|declared|runs",
        "cu130|13.0|2.11.0|3.11|bookworm|7.5 to 12.0|580.65.06|declared|no",
    ]


def test_each_reason_is_said_once() -> None:
    stand_in = "cu112-standin: it only stands in for cu111, to try its build, and no GPU runs it"
    no_gpu = Host(isa=IsaLevel.V3)
    assert command.reasons(command.report(MATRIX, no_gpu, state)) == (
        "cu111, cu118, cu124, cu130: this host has no NVIDIA GPU",
        stand_in,
    )
    assert command.reasons(command.report(MATRIX, HOST, state)) == (
        "cu111: torch 1.9.1+cu111 has sm_37 to sm_86 and no PTX, nothing for NVIDIA H100 (9.0)",
        stand_in,
        "cu130: driver 535.54.03 is older than 580.65.06, the oldest for CUDA 13.x",
    )


def test_what_is_unknown_is_neither_yes_nor_no() -> None:
    rows = command.table(command.report(MATRIX, UNKNOWN, state))
    assert [row["here"] for row in rows] == ["runs", "no", "no", "unknown", "unknown", "unknown"]


def test_markdown_does_not_depend_on_the_host() -> None:
    here = command.markdown(command.report(MATRIX, HOST, state))
    elsewhere = command.markdown(command.report(MATRIX, Host(isa=IsaLevel.V1), state))
    assert here == elsewhere
    lines = here.splitlines()
    assert lines[:3] == [
        "| cell | CUDA | torch | Python | mmcv-full | base | GPUs | oldest driver | state |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        (
            "| `cpu` | none | 2.13.0+cpu | 3.11 | 1.7.2 | Debian bookworm | none | none"
            " | locked (2 quoted) |"
        ),
    ]
    assert lines[3] == (
        "| `cu111` | 11.1 | 1.9.1+cu111 | 3.8 | 1.4.0"
        " | nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04 | Pascal (6.0) to Ada (8.9) | 450.80.02"
        " | declared |"
    )
    assert len(lines) == 2 + len(MATRIX.cells)


def test_the_document_keeps_its_schema_and_says_what_each_cell_serves() -> None:
    for host in (HOST, UNKNOWN, Host(isa=IsaLevel.V1)):
        document = command.document(MATRIX, command.report(MATRIX, host, state))
        assert list(validator("cells").iter_errors(document)) == []
    cells = json.loads(json.dumps(command.document(MATRIX, command.report(MATRIX, HOST, state))))[
        "cells"
    ]
    assert {cell["id"]: cell["stand_in"]["cell"] for cell in cells if cell["stand_in"]} == {
        "cu112-standin": "cu111"
    }
    assert {cell["id"]: cell["serves"] for cell in cells} == {
        "cpu": [],
        "cu111": ["6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9"],
        "cu112-standin": [],
        "cu118": ["6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0"],
        "cu124": ["7.0", "7.5", "8.0", "8.6", "8.9", "9.0"],
        "cu130": ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0"],
    }


def test_the_document_says_for_which_gpus_an_image_was_built() -> None:
    def built(cell: Cell) -> CellState:
        return CellState(digest="sha256:1", gpu="8.6" if cell.stand_in else "")

    document = command.document(MATRIX, command.report(MATRIX, HOST, built))
    assert list(validator("cells").iter_errors(document)) == []
    cells = json.loads(json.dumps(document))["cells"]
    assert {cell["id"]: cell["state"]["gpu"] for cell in cells if cell["state"]["gpu"]} == {
        "cu112-standin": "8.6"
    }


def test_a_ci_job_for_each_cell() -> None:
    include = json.loads(json.dumps(command.include_list(MATRIX)))["include"]
    assert [(row["cell"], row["cuda"], row["gpu"]) for row in include] == [
        ("cpu", "", False),
        ("cu111", "11.1", True),
        ("cu112-standin", "11.2", False),
        ("cu118", "11.8", True),
        ("cu124", "12.4", True),
        ("cu130", "13.0", True),
    ]
    assert {row["image"] for row in include} == {"bevformer"}
