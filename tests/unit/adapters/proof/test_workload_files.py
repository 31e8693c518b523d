"""Workloads from YAML: what is read, and how every fault is named."""

import ast
from pathlib import Path

import pytest

from builder.adapters.proof import workload_files
from builder.domain.isa import IsaLevel
from builder.domain.proof import KnownFault, Workload
from builder.errors import DataError

ROOT = Path(__file__).parents[4]
GOOD = """\
workloads:
- {name: sum, covers: adding, command: python3 -c "print(1 + 1)"}
- {name: torch, covers: operators, script: more/torch.py}
- name: crash
  covers: a layer
  command: crash
  known: {below: x86-64-v3, function: f, reason: f needs AVX2 and does not ask}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "more").mkdir()
    (folder / "more" / "torch.py").write_text("import torch\n")
    path = folder / "workloads.yaml"
    path.write_text(text)
    return path


def test_commands_are_split_and_scripts_are_handed_over(tmp_path: Path) -> None:
    assert workload_files.load(written(tmp_path, GOOD)) == (
        Workload(name="sum", argv=("python3", "-c", "print(1 + 1)"), covers="adding"),
        Workload(name="torch", argv=("python3", "-c", "import torch\n"), covers="operators"),
        Workload(
            name="crash",
            argv=("crash",),
            covers="a layer",
            known=KnownFault(
                below=IsaLevel.V3, function="f", reason="f needs AVX2 and does not ask"
            ),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: sum, ", "", "{path}:2: workloads[0].name is missing"),
        ("name: torch", "name: sum", "{path}: sum is named twice"),
        (", script: more/torch.py", "", "{path}: torch needs either a command or a script"),
        ("script:", "command: x, script:", "{path}: torch needs either a command or a script"),
        ("more/torch.py", "/etc/x.py", "{path}:3: workloads[1].script must be a Python file"),
        ("more/torch.py", "more/none.py", "{folder}/more/none.py: no such file or directory"),
        ('1)"', "1)", "the command of sum has no closing quotation"),
        ("below: x86-64-v3", "below: v3", "{path}:7: workloads[2].known.below must be one of"),
        ("function: f, ", "", "{path}:7: workloads[2].known.function is missing"),
        (GOOD, "workloads: []", "{path}:1: workloads must be a list of at least 1, not an empty"),
        (GOOD, "[", "{path}:1:"),
    ],
    ids=[
        "missing",
        "twice",
        "neither",
        "both",
        "outside",
        "absent",
        "quote",
        "level",
        "function",
        "none",
        "no-yaml",
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(DataError) as caught:
        workload_files.load(path)
    assert str(caught.value).startswith(message.format(path=path, folder=tmp_path))


FILES = sorted(ROOT.glob("images/*/workloads.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_images_workloads_are_sound(path: Path) -> None:
    found = workload_files.load(path)
    scripts = [workload.argv[2] for workload in found if workload.argv[:2] == ("python3", "-c")]
    assert len(scripts) == len(list(path.parent.glob("workloads/*.py")))
    for script in scripts:
        ast.parse(script, feature_version=(3, 8))
