import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder import cli
from builder.adapters import files
from builder.cli import storage, wiring
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.lock_files import dump
from builder.domain.lockfile import Lock, PipLayer
from tests.unit.adapters.archives.test_source_trees import pack, wanted
from tests.unit.lock_examples import CPU

ROOT = Path(__file__).parents[3]


def quoted(data: bytes) -> Artifact:
    return Artifact(
        kind=ArtifactKind.WHEEL,
        name="tqdm",
        version="4.0",
        filename="tqdm-4.0-py3-none-any.whl",
        sha256=hashlib.sha256(data).hexdigest(),
        size=None,
        channel="package-index",
        quoted=True,
    )


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a `cellar` on a checkout with one small lock, with a store of its own."""
    artifact = quoted(b"bytes")
    lock = Lock(
        image="bevformer",
        cell="cpu",
        cell_digest="sha256:" + "0" * 64,
        epoch=1,
        base=None,
        debs={},
        pip=(PipLayer(name="runtime", requirements="", artifacts=(artifact,)),),
    )
    (tmp_path / "images").symlink_to(ROOT / "images")
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    files.write_lock(tmp_path / lock.folder, dump(lock))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLAR_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(wiring, "lock", lambda _image, _cell: lock)
    for cached in (wiring.root, wiring.progress, storage.store, storage.network):
        cached.cache_clear()

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_from_a_folder_names_what_it_took_and_confirms_it(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    code, _, err = run("fetch", "--cell", "cpu", "--from", str(bag))
    assert code == 4
    assert "error: 1 inputs of cpu remain: tqdm-4.0-py3-none-any.whl" in err
    (bag / "x").write_bytes(b"bytes")
    code, out, err = run("fetch", "--cell", "cpu", "--from", str(bag), "--json")
    assert code == 0
    assert "took 1 inputs" in err
    assert [row["filename"] for row in json.loads(out)["took"]] == ["tqdm-4.0-py3-none-any.whl"]
    assert "`cellar fetch --cell cpu --confirm` writes that into lock/bevformer/cpu" in err
    code, _, err = run("fetch", "--cell", "cpu", "--confirm")
    assert code == 0
    assert "lock/bevformer/cpu says so now" in err
    (row,) = json.loads((tmp_path / "lock/bevformer/cpu/pip.json").read_text())["layers"][0][
        "artifacts"
    ]
    assert (row["size"], row.get("quoted", False)) == (5, False)


def test_a_source_tree_comes_from_an_archive_of_its_commit_alone(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = replace(wiring.lock("bevformer", CPU), sources=(wanted(),))
    monkeypatch.setattr(wiring, "lock", lambda _image, _cell: lock)
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "x").write_bytes(b"bytes")
    name = wanted().filename
    code, _, err = run("fetch", "--cell", "cpu", "--from", str(bag))
    assert code == 0
    assert f"without {name} the image comes without the authors' code" in err
    pack(bag / "BEVFormer-1.tar", {"a": "b"})
    code, _, err = run("fetch", "--cell", "cpu", "--from", str(bag))
    assert code == 5
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: {bag}/BEVFormer-1.tar: it holds the tree ")
    pack(bag / "other.tar.gz", prefix="BEVFormer-2f37d0d/")
    code, _, err = run("fetch", "--cell", "cpu", "--from", str(bag))
    assert (code, f"took 1 inputs (10 kB): {name}" in err) == (0, True)


def test_a_folder_that_is_none_is_a_usage_error(run: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = run("fetch", "--cell", "cpu", "--from", "nowhere")
    assert (code, err) == (
        2,
        "error: nowhere is no folder\n hint: --from takes the folder that holds the files\n",
    )


def test_verify_repair_df_and_gc(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "x").write_bytes(b"bytes")
    assert run("fetch", "--cell", "cpu", "--from", str(bag))[0] == 0
    code, out, err = run("store", "verify", "--json")
    assert (code, json.loads(out)["findings"]) == (0, [])
    assert err.splitlines()[-1] == "1 objects hashed, 0 faults, 0 remain"
    (path,) = (tmp_path / "store" / "objects").glob("*/*")
    path.chmod(0o644)
    code, out, err = run("store", "verify")
    assert (code, out) == (1, "")
    assert "its mode is 0644 and should be 0444" in err
    assert run("store", "verify", "--repair")[0] == 0
    path.chmod(0o644)
    path.write_bytes(b"bytez")
    path.chmod(0o444)
    assert run("store", "verify")[0] == 5
    code, out, _ = run("store", "df", "--json")
    document = json.loads(out)
    assert code == 0
    assert [(row["lock"], row["stored"]) for row in document["locks"]] == [("bevformer/cpu", 1)]
    code, out, _ = run("store", "gc", "--dry-run")
    assert (code, out) == (0, "would remove 0 bytes\n")
    code, out, _ = run("store", "gc", "--all", "--json")
    assert [(row["kind"], row["count"]) for row in json.loads(out)["removed"]] == [("objects", 1)]
    assert list((tmp_path / "store" / "objects").glob("*/*")) == []


def test_gc_refuses_to_guess_what_a_broken_lock_needs(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "lock" / "bevformer" / "cpu" / "pip.json").write_text("{")
    code, _, err = run("store", "gc")
    assert code == 9
    assert "lock/bevformer/cpu/pip.json:1: not JSON" in err
