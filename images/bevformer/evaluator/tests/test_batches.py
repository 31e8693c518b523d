"""`run` with scenes side by side: what is chosen, recorded and resumed, and that it is right."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

import bevformer_eval
from bevformer_eval import choice, weights
from bevformer_eval.choice import Choice
from bevformer_eval.errors import ExitCode
from bevformer_eval.fast import engine
from bevformer_eval.fast.engine import Inputs, Ticket
from bevformer_eval.journal import Journal
from bevformer_eval.results import Boxes

Run = Callable[..., Tuple[int, str, str]]
SCHEMAS = Path(bevformer_eval.__file__).parent / "schemas"
RESULTS = ("results_nusc.json", "metrics.json")


class _Constant:
    """An engine that sees a car in front of everyone, and counts what is asked of it."""

    steps = 0

    def __init__(self, state: Dict[str, Tensor], batch: int, device: str, precision: str) -> None:
        assert int(state["seed"]) == 3
        self.batch, self.device = batch, device
        self.precision, self.note = "float32", f"{precision} is not for tests"
        type(self).steps = 0

    def pixels(self) -> Tensor:
        return torch.zeros(self.batch, 6, 900, 1600, 3, dtype=torch.uint8)

    def step(self, pixels: Tensor, inputs: Inputs) -> Ticket:
        assert bool(pixels.any())
        assert len(inputs.has_prev) == self.batch
        type(self).steps += 1
        rows = torch.zeros(self.batch, 300, 12)
        rows[:, 0] = torch.tensor([1.0, 9.0, -1.0, 2.0, 4.0, 1.5, 0.1, 3.0, 0.0, 0.6, 0.0, 1.0])
        return Ticket(rows, None, 0.5)


@pytest.fixture
def batched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch scenes on the CPU, as on a GPU."""
    monkeypatch.setattr(choice, "_batch", lambda args, _: args.batch or 8)
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    monkeypatch.delenv("TRITON_CACHE_DIR")


@pytest.fixture
def constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an engine that needs no time."""
    monkeypatch.setattr(engine, "Engine", _Constant)
    monkeypatch.setattr(weights, "seeded_state_dict", lambda seed: {"seed": torch.tensor(seed)})


FITS = {
    "as many as fit": ((8, 8), 8),
    "fewer than fit": ((8, 2), 2),
    "one": ((8, 1), 1),
    "two equal rounds": ((8, 10), 5),
    "the validation split": ((8, 150), 8),
    "one more": ((8, 9), 5),
    "frame by frame": ((0, 10), 0),
}


@pytest.mark.parametrize(("case", "batch"), FITS.values(), ids=list(FITS))
def test_rounds_are_equal(case: Tuple[int, int], batch: int) -> None:
    fitted = Choice({"kind": "native"}, "cuda:0", None, case[0]).fitted(case[1])
    assert fitted.batch == batch
    assert fitted.identity.get("batch", 0) == batch


# The GPUs' memory in GiB; --batch, --precision, --check-golden
BATCHES = {
    "a large GPU": ([140], (None, "auto", False), 8),
    "24 GB": ([23.7], (None, "auto", False), 5),
    "16 GB": ([14.7], (None, "auto", False), 3),
    "2 GB": ([2], (None, "auto", False), 1),
    "the smallest counts": ([140, 11], (None, "auto", False), 2),
    "as asked": ([11], (6, "auto", False), 6),
    "one, as a batch": ([140], (1, "auto", False), 1),
    "the plain model": ([140], (1, "float32", False), 0),
    "raw outputs": ([140], (None, "auto", True), 0),
}


@pytest.mark.parametrize(("sizes", "options", "expected"), BATCHES.values(), ids=list(BATCHES))
def test_the_batch_fits_the_gpu(
    monkeypatch: pytest.MonkeyPatch,
    sizes: List[float],
    options: Tuple[Optional[int], str, bool],
    expected: int,
) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda index: SimpleNamespace(total_memory=int(sizes[index] * 2**30)),
    )
    names = ("batch", "precision", "check_golden")
    args = argparse.Namespace(model="native", image_scale=None, **dict(zip(names, options)))
    assert choice._batch(args, "cuda:0") == expected
    assert choice._batch(args, "cpu") == 0
    args.image_scale = 0.05
    assert choice._batch(args, "cuda:0") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precision", "pairs"], "--precision pairs goes with a GPU"),
        (["--batch", "0"], "must be at least 1"),
    ],
    ids=["pairs on the CPU", "no scene"],
)
def test_what_cannot_be_is_refused(
    run: Run, pristine: Path, tmp_path: Path, words: List[str], message: str
) -> None:
    base = ["--data", pristine, "--seed", 0, "--device", "cpu", "--work-dir", tmp_path]
    code, out, err = run(*base, *words)
    assert (code, out) == (ExitCode.USAGE, "")
    assert message in err.splitlines()[0]


@pytest.mark.usefixtures("batched", "constant")
def test_a_batched_run_says_what_it_did(run: Run, pristine: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    words = ["--data", pristine, "--seed", 3, "--device", "cpu", "--work-dir", tmp_path]
    code, out, err = run(*words)
    assert code == 0, err
    assert "note: plain float32, because auto is not for tests" in err
    assert "6/6 samples" in err
    assert "(float32 cpu)" in out
    assert _Constant.steps == 3
    metrics, timings = _read(tmp_path, "metrics"), _read(tmp_path, "timings")
    assert metrics["model"] == {
        "kind": "native",
        "seed": 3,
        "arithmetic": "float32 cpu",
        "batch": 2,
    }
    assert timings["seconds"]["forward"] == pytest.approx(1.5)
    assert timings["seconds"]["load"] > 0
    assert timings["seconds"]["start"] > 0
    assert timings["arithmetic"] == "float32 cpu"
    for name, value in (("metrics", metrics), ("timings", timings)):
        jsonschema.validate(value, json.loads((SCHEMAS / f"{name}.json").read_text()))
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "cache" / "triton")
    assert "samples/s, 0:00" not in run(*words)[2], "all is recorded"


@pytest.mark.usefixtures("batched", "constant")
def test_batches_and_precisions_have_journals_of_their_own(
    run: Run, pristine: Path, tmp_path: Path
) -> None:
    words = ["--data", pristine, "--seed", 3, "--device", "cpu", "--work-dir", tmp_path]
    results = []
    for more in (["--batch", 1], ["--batch", 2], ["--batch", 2, "--precision", "float32"]):
        assert run(*words, *more)[0] == 0
        results.append((tmp_path / RESULTS[0]).read_bytes())
    assert len(list((tmp_path / "journal").iterdir())) == 3
    assert results == [results[0]] * 3


@pytest.mark.usefixtures("batched", "constant")
@pytest.mark.parametrize("batch", [1, 2])
def test_an_interrupted_batched_run_resumes_to_the_same_bytes(
    run: Run, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    words = ["--data", pristine, "--seed", 3, "--device", "cpu", "--batch", batch]
    assert run(*words, "--work-dir", tmp_path / "whole")[0] == 0
    write = Journal.write

    def write_and_stop(self: Journal, *arguments: Any) -> None:
        write(self, *arguments)
        raise KeyboardInterrupt

    words += ["--work-dir", tmp_path / "cut"]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", write_and_stop)
        assert run(*words)[0] == ExitCode.INTERRUPTED
    code, _, err = run(*words)
    assert code == 0
    assert "3 of 6 samples are already evaluated" in err
    for name in RESULTS:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _recorded(work: Path, scores: List[float], shift: float) -> Path:
    """Record one scene of a sample for each score; the last sample's box is shifted (m)."""
    boxes = [
        Boxes(
            np.full((1, 9), shift if index == len(scores) - 1 else 0.0, np.float32),
            np.array([score], np.float32),
            np.array([4]),
        )
        for index, score in enumerate(scores)
    ]
    Journal(work, {}).write("a", boxes, {})
    (work / "metrics.json").write_text('{"mAP": 0.5, "NDS": 0.25}')
    return work


@pytest.mark.parametrize(
    ("scores", "shift", "matched"),
    [([0.5, 0.25], 0.0, 2), ([0.5, 0.25], 1e-4, 2), ([0.5, 0.25], 1e-3, 1), ([0.4, 0.25], 0.0, 1)],
    ids=["equal", "within", "another box", "another score"],
)
def test_two_runs_are_compared(
    tmp_path: Path, scores: List[float], shift: float, matched: int
) -> None:
    left = _recorded(tmp_path / "left", scores, shift)
    right = _recorded(tmp_path / "right", [0.5, 0.25], 0.0)
    tool = Path(__file__).parents[1] / "tools" / "compare_runs.py"
    done = subprocess.run(
        [sys.executable, str(tool), str(left), str(right)],
        env={**os.environ, "PYTHONPATH": str(SCHEMAS.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if matched == 2 else 1), done.stderr
    found = json.loads(done.stdout)
    assert (found["samples"], found["detections"], found["matched"]) == (2, 2, matched)
    assert found["largest_box_deviation"] == pytest.approx(shift if matched == 2 else 0.0)


def _read(folder: Path, name: str) -> Dict[str, Any]:
    return dict(json.loads((folder / f"{name}.json").read_text()))
