"""The command line end to end, with the ground truth in the model's place."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

import bevformer_eval
from bevformer_eval import distributed
from bevformer_eval.cli import main
from bevformer_eval.errors import ExitCode, HostError, UsageError

jsonschema = pytest.importorskip("jsonschema")

Run = Callable[..., Tuple[int, str, str]]
SCHEMAS = Path(bevformer_eval.__file__).parent / "schemas"
SOURCES = str(Path(bevformer_eval.__file__).parents[1])
RESULTS = ("results_nusc.json", "metrics.json")
SCALED = ("results_nusc", "metrics", "timings")


def _program(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bevformer_eval", *map(str, words)],
        env={**os.environ, "PYTHONPATH": SOURCES, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _snapshot(root: Path) -> Dict[str, Tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(root.rglob("*"))}


@pytest.fixture(scope="module")
def reference(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, bytes]:
    """Return what one undisturbed run writes."""
    work = tmp_path_factory.mktemp("reference")
    assert main(["--data", str(pristine), "--ground-truth", "--work-dir", str(work)]) == 0
    return {name: (work / name).read_bytes() for name in RESULTS}


def test_synthetic_needs_nothing_else(run: Run, tmp_path: Path, reference: object) -> None:
    code, out, err = run("--synthetic", "--ground-truth", "--work-dir", tmp_path)
    assert code == 0
    assert "mAP 1.0000   NDS 0.9875" in out
    assert "6/6 samples" in err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == {**json.loads(reference["metrics.json"]), "synthetic": True}
    assert (tmp_path / "results_nusc.json").read_bytes() == reference["results_nusc.json"]


def test_json_is_all_of_stdout_and_keeps_its_schema(
    run: Run, pristine: Path, tmp_path: Path
) -> None:
    words = ["run", "--data", pristine, "--ground-truth", "--work-dir", tmp_path, "--json"]
    code, out, _ = run(*words)
    assert code == 0
    result = json.loads(out)
    assert set(result) == {"metrics", "timings", "files"}
    for name, file in result["files"].items():
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(json.loads(Path(file).read_text()), schema)
    assert result["metrics"] == json.loads((tmp_path / "metrics.json").read_text())
    assert result["timings"] == json.loads((tmp_path / "timings.json").read_text())


@pytest.mark.parametrize("change", ["drop", "add"])
@pytest.mark.parametrize("name", ["metrics", "timings"])
def test_schemas_are_closed(
    run: Run, pristine: Path, tmp_path: Path, name: str, change: str
) -> None:
    run("--data", pristine, "--ground-truth", "--work-dir", tmp_path)
    value = json.loads((tmp_path / f"{name}.json").read_text())
    if change == "drop":
        value.popitem()
    else:
        value["more"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json.loads((SCHEMAS / f"{name}.json").read_text()))


def test_nothing_is_written_beside_the_data(run: Run, data: Path, tmp_path: Path) -> None:
    before = _snapshot(data)
    assert (
        run("--data", data, "--ground-truth", "--work-dir", tmp_path / "w", "--show", "1")[0] == 0
    )
    assert _snapshot(data) == before


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_a_killed_run_resumes_to_the_same_bytes(
    pristine: Path, tmp_path: Path, reference: Dict[str, bytes], kind: str
) -> None:
    """Stopped right after the first scene is recorded; the second is evaluated by the next run."""
    number = int(getattr(signal, kind))
    script = f"""
import os, signal, sys
from bevformer_eval import cli, journal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
write = journal.Journal.write
def write_and_stop(self, *arguments):
    write(self, *arguments)
    os.kill(os.getpid(), {number})
journal.Journal.write = write_and_stop
sys.exit(cli.main(sys.argv[1:]))
"""
    words = ["--data", str(pristine), "--ground-truth", "--work-dir", str(tmp_path)]
    stopped = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert stopped.returncode == (-9 if kind == "SIGKILL" else ExitCode.INTERRUPTED)
    assert "Traceback" not in stopped.stderr
    assert len(list(tmp_path.glob("journal/*/scene-*.npz"))) == 1
    resumed = _program(*words)
    assert resumed.returncode == 0
    assert "3 of 6 samples are already evaluated" in resumed.stderr
    assert {name: (tmp_path / name).read_bytes() for name in RESULTS} == reference


def test_a_torn_record_is_evaluated_again(
    run: Run, pristine: Path, tmp_path: Path, reference: Dict[str, bytes]
) -> None:
    words = ["--data", pristine, "--ground-truth", "--work-dir", tmp_path]
    run(*words)
    record = next(tmp_path.glob("journal/*/scene-*.npz"))
    record.write_bytes(record.read_bytes()[:-100])
    assert run(*words)[0] == 0
    assert {name: (tmp_path / name).read_bytes() for name in RESULTS} == reference


def test_processes_give_the_result_of_one(
    pristine: Path, tmp_path: Path, reference: Dict[str, bytes]
) -> None:
    words = ["--data", pristine, "--ground-truth", "--device", "cpu"]
    done = _program(*words, "--gpus", 2, "--work-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in RESULTS} == reference
    assert json.loads((tmp_path / "timings.json").read_text())["processes"] == 2


def test_torchruns_processes_give_the_result_of_one(
    pristine: Path, tmp_path: Path, reference: Dict[str, bytes]
) -> None:
    words = [sys.executable, "-m", "bevformer_eval", "--data", str(pristine), "--ground-truth"]
    ranks = [
        subprocess.Popen(
            [*words, "--work-dir", str(tmp_path)],
            env={
                **os.environ,
                "PYTHONPATH": SOURCES,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    output = [process.communicate(timeout=120)[0].decode() for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], output
    assert "mAP 1.0000" in output[0]
    assert output[1] == ""
    assert {name: (tmp_path / name).read_bytes() for name in RESULTS} == reference


@pytest.mark.parametrize(
    ("share", "environment", "place"),
    [
        ("", {}, (0, 1, 0)),
        ("1/3", {"RANK": "0", "WORLD_SIZE": "1"}, (1, 3, 1)),
        ("", {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (5, 8, 1)),
    ],
    ids=["alone", "share", "torchrun"],
)
def test_place(
    monkeypatch: pytest.MonkeyPatch, share: str, environment: Dict[str, str], place: tuple
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.place(share) == distributed.Place(*place)


@pytest.mark.parametrize("rank", ["2", "-1", "x"])
def test_impossible_places_are_refused(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError):
        distributed.place("")


def test_waiting_ends_with_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([10, 1])
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    with pytest.raises(HostError, match="launcher is gone"):
        distributed.wait_for(lambda: False)


def test_fresh_evaluates_again(run: Run, pristine: Path, tmp_path: Path) -> None:
    words = ["--data", pristine, "--ground-truth", "--work-dir", tmp_path]
    run(*words)
    assert "samples/s" not in run(*words)[2]
    assert "6/6 samples" in run(*words, "--fresh")[2]


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["--expect-map", "1", "--expect-nds", "0.9875"], 0),
        (["--expect-map", "0.99"], 1),
        (["--expect-map", "0.99", "--tolerance", "0.02"], 0),
    ],
    ids=["holds", "fails", "wide"],
)
def test_gates(run: Run, pristine: Path, tmp_path: Path, gates: List[str], code: int) -> None:
    found, out, err = run(
        "--data", pristine, "--ground-truth", "--work-dir", tmp_path, "--json", *gates
    )
    assert found == code
    assert json.loads(out)["metrics"]["mAP"] == pytest.approx(1.0)
    assert ("error: mAP is 1.0000, expected 0.9900 within 0.002" in err) == (code == 1)


USAGE = [
    ([], "say what to evaluate"),
    (["--synthetic", "--data", "x"], "say what to evaluate"),
    (["--synthetic", "--model", "upstream", "--gpus", "2"], "--model upstream goes frame by frame"),
    (
        ["--synthetic", "--model", "upstream", "--batch", "2"],
        "--model upstream goes frame by frame",
    ),
    (["--synthetic", "--seed", "1", "--ground-truth"], "exclude each other"),
    (["--data", "x"], "say which weights"),
    (["--synthetic", "--gpus", "0"], "must be at least 1"),
    (["--synthetic", "--gpus", "2", "--device", "cuda:1"], "--device cuda:1 names one"),
    (["--synthetic", "--check-golden", "--ground-truth"], "--check-golden goes with"),
    (["--synthetic", "--ground-truth", "--samples", "0"], "at least one scene"),
    (["--data", "x", "--seed", "0", "--image-scale", "0.05"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.05", "--check-golden"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.05", "--checkpoint", "x"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.05", "--ground-truth"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.05", "--model", "upstream"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.05", "--expect-map", "0"], "--image-scale goes with"),
    (["--synthetic", "--image-scale", "0.01"], "is not between 0.02 and 0.5"),
    (["--synthetic", "--image-scale", "0.5"], "is not between 0.02 and 0.5"),
    (["--synthetic", "--image-scale", "nan"], "is not between 0.02 and 0.5"),
]


@pytest.mark.parametrize(("words", "message"), USAGE, ids=[" ".join(u[0]) or "none" for u in USAGE])
def test_usage(run: Run, tmp_path: Path, words: List[str], message: str) -> None:
    code, out, err = run("run", *words, "--work-dir", tmp_path)
    assert (code, out) == (ExitCode.USAGE, "")
    assert message in err.splitlines()[0]
    assert err.startswith("error: ")


def test_unknown_options_exit_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--syntetic"])
    assert stopped.value.code == ExitCode.USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_data_root_is_named(run: Run, tmp_path: Path) -> None:
    words = ["--data", tmp_path / "none", "--ground-truth", "--work-dir", tmp_path]
    code, _, err = run(*words)
    assert code == ExitCode.DATA
    assert err.splitlines()[0] == f"error: {tmp_path / 'none'}: no such file or directory"


@pytest.mark.parametrize("kind", ["file in the way", "read-only", "impossible"])
def test_a_work_dir_that_cannot_be_written_is_named(run: Run, tmp_path: Path, kind: str) -> None:
    work = tmp_path / "work"
    if kind == "read-only":
        work.mkdir()
        work.chmod(stat.S_IRUSR | stat.S_IXUSR)
        if os.access(work, os.W_OK):
            pytest.skip("this user can write everywhere")
    elif kind == "impossible":
        work = Path("/proc/bevformer-eval")
    else:
        work.write_text("")
    code, _, err = run("--synthetic", "--ground-truth", "--work-dir", work)
    assert code == ExitCode.STORAGE
    assert f"{work}" in err.splitlines()[0]
    assert "cannot write" in err.splitlines()[0]


def test_a_full_disk_is_named(
    run: Run, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = run("--data", pristine, "--ground-truth", "--work-dir", tmp_path)
    assert code == ExitCode.STORAGE
    assert "no space left" in err


def test_smaller_images_run_the_whole_model_and_say_so(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ["--synthetic", "--scenes", "1", "--samples", "2", "--image-scale", "0.02"]
    code, out, err = run(*words, "--device", "cpu", "--work-dir", tmp_path)
    assert code == 0, err
    assert "images scaled by 0.02" in out
    values = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in SCALED}
    for name, value in values.items():
        jsonschema.validate(value, json.loads((SCHEMAS / f"{name}.json").read_text()))
    assert values["timings"]["image_scale"] == values["metrics"]["model"]["image_scale"] == 0.02
    results = values["results_nusc"]["results"]
    assert len(results) == 2
    assert all(results.values())


def test_synthesize(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("synthesize", tmp_path / "d", "--scenes", "1", "--samples", "1", "--json")
    assert code == 0
    assert json.loads(out) == {
        "directory": str(tmp_path / "d"),
        "version": "v1.0-mini",
        "seed": 0,
        "scenes": 1,
        "samples": 1,
    }
    assert run("synthesize", tmp_path / "d")[0] == ExitCode.USAGE


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert [code for code in ExitCode if f"{int(code)} " not in text] == []
