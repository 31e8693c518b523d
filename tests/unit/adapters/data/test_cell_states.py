"""How far a cell has come, from a checkout laid out for the test."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.adapters.data.cell_states import read_state
from builder.domain.cell_state import CellState, Proof

DIGEST = "sha256:" + 64 * "a"
LOCK = "lock/bevformer/cpu/"


def evidence(**documents: object) -> dict[str, object]:
    return {f"images/bevformer/evidence/{name}.json": row for name, row in documents.items()}


@pytest.mark.parametrize(
    ("files", "state", "words"),
    [
        pytest.param({}, CellState(), "declared", id="declared"),
        pytest.param(
            {"tests/golden/cpu.Dockerfile": ""}, CellState(rendered=True), "rendered", id="rendered"
        ),
        pytest.param(
            {
                f"{LOCK}lock.json": {"cell": "cpu", "unlocked": []},
                f"{LOCK}image.json": {"expected": []},
            },
            CellState(locked=True),
            "locked",
            id="locked",
        ),
        pytest.param(
            {
                f"{LOCK}lock.json": {"unlocked": [{"name": "a"}, {"name": "b"}]},
                f"{LOCK}base.json": {"artifact": {"quoted": True}},
                f"{LOCK}pip.json": {
                    "layers": [{"artifacts": [{"quoted": True}, {"quoted": False}]}]
                },
                f"{LOCK}apt.json": "not JSON",
                "tests/golden/cpu.Dockerfile": "",
            },
            CellState(locked=True, quoted=2, unlocked=2, rendered=True),
            "locked (2 quoted, 2 missing), rendered",
            id="quoted-and-missing",
        ),
        pytest.param(
            {
                f"{LOCK}lock.json": {},
                f"{LOCK}image.json": {
                    "expected": [
                        {"target": "devel", "digest": "sha256:0"},
                        {"target": "runtime", "digest": DIGEST},
                    ]
                },
                "tests/golden/cpu.Dockerfile": "",
                **evidence(
                    a={"cell": "cpu", "device": "cpu", "level": "L2", "digest": DIGEST},
                    b={"cell": "cu124", "device": "cpu", "level": "L2", "digest": DIGEST},
                    other_image={"cell": "cpu", "device": "x", "level": "L2", "digest": "sha256:1"},
                    nothing_reached={"cell": "cpu", "device": "y", "level": None, "digest": DIGEST},
                    d=[],
                ),
            },
            CellState(
                locked=True,
                rendered=True,
                digest=DIGEST,
                proofs=(Proof(device="cpu", level="L2"),),
            ),
            "locked, rendered, built, L2 on cpu",
            id="verified",
        ),
        pytest.param(
            {
                f"{LOCK}lock.json": {},
                f"{LOCK}image.json": {"expected": [{"target": "runtime", "digest": DIGEST}]},
                **evidence(
                    **{
                        "cpu.passport": {
                            "digest": DIGEST,
                            "sealed": {"cell": "cpu"},
                            "proven": {"isa": "x86-64-v2", "proofs": ["audit", "qemu: Nehalem"]},
                            "verified": [{"level": "L2", "device": "cpu", "date": None}],
                        },
                        "other.passport": {
                            "digest": "sha256:1",
                            "sealed": {"cell": "cpu"},
                            "proven": {"isa": "x86-64", "proofs": ["audit"]},
                            "verified": [{"level": "L3", "device": "cpu", "date": None}],
                        },
                        "unproven.passport": {
                            "digest": DIGEST,
                            "sealed": {"cell": "cpu"},
                            "proven": None,
                            "verified": [],
                        },
                    }
                ),
            },
            CellState(
                locked=True,
                digest=DIGEST,
                proofs=(Proof(device="cpu", level="L2"),),
                isa="x86-64-v2",
            ),
            "locked, built, L2 on cpu, proven at x86-64-v2",
            id="proven-by-a-passport",
        ),
        pytest.param(
            {
                f"{LOCK}lock.json": {},
                f"{LOCK}image.json": {
                    "expected": [{"target": "runtime", "digest": DIGEST, "gpu": "9.0"}]
                },
                **evidence(a={"cell": "cpu", "device": "H200", "level": "L2", "digest": DIGEST}),
            },
            CellState(
                locked=True,
                digest=DIGEST,
                gpu="9.0",
                proofs=(Proof(device="H200", level="L2"),),
            ),
            "locked, built for 9.0, L2 on H200",
            id="for-some-gpus",
        ),
        pytest.param({f"{LOCK}lock.json": [1]}, CellState(), "declared", id="no-lock-at-all"),
    ],
)
def test_a_state_is_read(
    tmp_path: Path, files: Mapping[str, object], state: CellState, words: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
    found = read_state(tmp_path, "bevformer", "cpu")
    assert (found, str(found)) == (state, words)


def test_what_was_verified_here_counts_only_where_it_is_asked_for(tmp_path: Path) -> None:
    row = {"cell": "cpu", "device": "cpu", "level": "L1", "digest": DIGEST}
    files = {
        f"{LOCK}lock.json": {},
        f"{LOCK}image.json": {"expected": [{"target": "runtime", "digest": DIGEST}]},
        ".cellar/evidence/bevformer/cpu.json": row,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    found = [read_state(tmp_path, "bevformer", "cpu", local=local) for local in (False, True)]
    assert [state.stage for state in found] == ["built", "verified"]
