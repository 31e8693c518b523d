"""`cellar matrix`, `cellar doctor` and the options that choose a cell, through the front door."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder import cli
from builder.adapters.data.schemas import validator
from builder.cli import wiring

ROOT = Path(__file__).parents[3]
CELLS = ["cpu", "cu111", "cu112-standin", "cu118", "cu124", "cu130"]
STAND_IN = "cu112-standin: it only stands in for cu111, to try its build, and no GPU runs it"


@pytest.fixture(autouse=True)
def a_host_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, text in (("GPU", "none"), ("ISA", "x86-64-v3"), ("WSL", "0")):
        monkeypatch.setenv(f"CELLAR_OVERRIDE_{name}", text)


def test_the_table_ends_with_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "cell CUDA torch Python base GPUs driver state here"
    assert [line.split()[0] for line in lines[1:7]] == CELLS
    assert lines[7:] == ["cu111, cu118, cu124, cu130: this host has no NVIDIA GPU", STAND_IN]


def test_another_host_can_be_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["matrix", "--gpu", "9.0", "--driver", "537.13", "--wsl", "--isa", "x86-64-v2"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[7:] == [
        "cu111: torch 1.9.1+cu111 has sm_37 to sm_86 and no PTX, nothing for GPU (9.0)",
        STAND_IN,
        "cu130: Windows driver 537.13 is older than 580, the oldest for CUDA 13.x",
    ]


@pytest.mark.parametrize("verb", ["matrix", "doctor"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ["--gpu", "9.9"], "no GPU has compute capability 9.9; did you mean 9.0?", id="no-gpu"
        ),
        pytest.param(
            ["--gpu", "8.6", "--gpu", "0.0"], "no GPU has compute capability 0.0", id="second"
        ),
        pytest.param(["--gpu", "H100"], "--gpu: 'H100' is not a compute capability", id="name"),
        pytest.param(["--isa", "V3"], "--isa: ISA level 'V3' is unknown", id="isa"),
    ],
)
def test_a_host_that_cannot_be_is_refused(
    verb: str, words: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix", "--json"]) == 0
    assert list(validator("cells").iter_errors(json.loads(capsys.readouterr().out))) == []


def test_a_job_matrix_for_github(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix", "--github"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["include"][0]["cell"] == "cpu"


def test_markdown_for_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| cell | CUDA | torch |")


def test_a_check_that_finds_nothing_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix", "--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_data_files_are_rewritten_canonically(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "tests" / "assets" / "images", tmp_path / "images")
    (tmp_path / "templates").mkdir()
    matrix = tmp_path / "images" / "small" / "matrix.yaml"
    text = matrix.read_text()
    matrix.write_text(text.replace("image: small", "image:   small"))
    monkeypatch.chdir(tmp_path)
    wiring.root.cache_clear()
    try:
        assert cli.main(["matrix", "--image", "small", "--format"]) == 0
    finally:
        wiring.root.cache_clear()
    assert matrix.read_text() == text
    assert "rewrote matrix.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "lines"),
    [
        pytest.param(
            ["matrix", "--image", "bevfomer"],
            2,
            [
                "error: no image is called 'bevfomer'; did you mean bevformer?",
                " hint: the images are bevformer",
            ],
            id="image",
        ),
        pytest.param(
            ["matrix", "--driver", "newest"],
            2,
            [
                "error: --driver: 'newest' is not a driver version",
                " hint: write it as nvidia-smi does, for example 550.54.14",
            ],
            id="driver",
        ),
        pytest.param(
            ["doctor", "--cell", "cu12"],
            2,
            [
                "error: no cell is called 'cu12'; did you mean cu124?",
                " hint: the cells are " + ", ".join(CELLS),
            ],
            id="cell",
        ),
    ],
)
def test_a_wrong_word_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], words: Sequence[str], code: int, lines: Sequence[str]
) -> None:
    assert cli.main(words) == code
    assert capsys.readouterr().err.splitlines() == lines


def test_the_doctor_finds_a_host_without_gpu_fit_for_cpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("CPU     x86-64-v3, ")
    assert lines[-1] == "cpu runs here; next: make image CELL=cpu"


@pytest.mark.parametrize(
    ("words", "code", "cell"),
    [
        pytest.param(["--gpu", "9.0", "--driver", "580.65.06"], 0, "cu130", id="newest"),
        pytest.param(["--gpu", "9.0", "--driver", "535.54.03"], 0, "cu124", id="by-driver"),
        pytest.param(["--gpu", "3.5", "--driver", "470.57.02"], 3, "cu130", id="none-runs"),
        pytest.param(["--cell", "cu111"], 3, "cu111", id="named-without-gpu"),
    ],
)
def test_the_doctor_judges_the_best_cell_or_the_one_named(
    capsys: pytest.CaptureFixture[str], words: Sequence[str], code: int, cell: str
) -> None:
    assert cli.main(["doctor", "--json", *words]) == code
    found = json.loads(capsys.readouterr().out)
    assert list(validator("doctor").iter_errors(found)) == []
    assert (found["cell"], bool(found["findings"])) == (cell, code == 3)
