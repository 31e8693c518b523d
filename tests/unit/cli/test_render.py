"""The Dockerfile of every cell is the golden one, and `cellar render` says where it is not."""

from pathlib import Path

import pytest

from builder.cli import building, main, render, wiring
from builder.commands.render import golden_selections

GOLDEN = wiring.root() / "tests" / "golden"
CELLS = ("cpu", "cu111", "cu112-standin", "cu118", "cu124", "cu130")


def test_every_cell_has_a_golden_file_and_none_is_left_over() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == [
        f"{cell}.Dockerfile" for cell in CELLS
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_dockerfile_is_golden(cell: str) -> None:
    given = {one.variant: one for one in golden_selections(building.matrix("bevformer"))}
    text = building.dockerfile(building.recipe(given[cell]))
    assert text == (GOLDEN / f"{cell}.Dockerfile").read_text()


@pytest.mark.parametrize("cell", CELLS)
def test_every_step_says_that_it_has_no_network(cell: str) -> None:
    text = (GOLDEN / f"{cell}.Dockerfile").read_text()
    steps = [line for line in text.splitlines() if line.startswith("RUN ")]
    assert steps
    assert {line for line in steps if not line.startswith("RUN --network=none ")} == set()


@pytest.mark.parametrize("cell", CELLS)
def test_no_stage_comes_from_a_registry(cell: str) -> None:
    text = (GOLDEN / f"{cell}.Dockerfile").read_text()
    stages = [line.split() for line in text.splitlines() if line.startswith("FROM ")]
    named = {words[3] for words in stages}
    assert {words[1] for words in stages} - named - {"scratch", "bootstrap", "vendor"} == set()


def test_a_drifted_golden_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "_GOLDEN", tmp_path)
    assert main(["render", "--golden"]) == 0
    assert main(["render", "--check"]) == 0
    (tmp_path / "cpu.Dockerfile").write_text("FROM elsewhere\n")
    (tmp_path / "cu111.Dockerfile").unlink()
    assert main(["render", "--check"]) == 8
    words = "error: tests/golden: cpu.Dockerfile, cu111.Dockerfile: not what the templates give\n"
    assert capsys.readouterr().err.startswith(words)


def test_one_dockerfile_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--cell", "cpu"]) == 0
    assert capsys.readouterr().out == (GOLDEN / "cpu.Dockerfile").read_text()


def test_isa_and_gpu_change_flags_alone(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cell", "cu124", "--isa", "x86-64-v3", "--gpu", "8.6"]
    assert main(["render", *options]) == 0
    golden = (GOLDEN / "cu124.Dockerfile").read_text().splitlines()
    changed = set(capsys.readouterr().out.splitlines()) - set(golden)
    assert all(
        any(
            word in line
            for word in ("FLAGS", "ARCH_LIST", "cellar.", "# ---- ops", "image.", "PASSPORT")
        )
        for line in changed
    )
    assert any("-march=x86-64-v3" in line for line in changed)
