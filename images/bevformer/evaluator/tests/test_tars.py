"""nuScenes straight from its downloads."""

from __future__ import annotations

import tarfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

from bevformer_eval.data.images import read
from bevformer_eval.data.origin import open_data
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.data.tars import TarSource
from bevformer_eval.errors import DataError, ExitCode

pytest.importorskip("ratarmountcore")
Run = Callable[..., Tuple[int, str, str]]


def _tar(path: Path, root: Path, names: List[str], prefix: str = "") -> Path:
    mode = "w:gz" if path.suffix == ".tgz" else "w"
    with tarfile.open(path, mode) as tar:
        for name in names:
            tar.add(root / name, prefix + name)
    return path


@pytest.fixture(scope="module")
def archives(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scenes as nuScenes distributes them: metadata, blobs in two parts, the CAN bus."""
    folder = tmp_path_factory.mktemp("archives")
    cameras = sorted(path.name for path in (pristine / "samples").iterdir())
    _tar(folder / "v1.0-mini_meta.tgz", pristine, ["maps", "v1.0-mini"])
    _tar(folder / "v1.0-mini01_blobs.tgz", pristine, [f"samples/{c}" for c in cameras[:3]])
    _tar(folder / "v1.0-mini02_blobs.tar", pristine, [f"samples/{c}" for c in cameras[3:]], "./")
    with zipfile.ZipFile(folder / "can_bus.zip", "w") as file:
        for path in sorted((pristine / "can_bus").iterdir()):
            file.write(path, f"can_bus/{path.name}")
    (folder / "readme.txt").write_text("not an archive of nuScenes")
    return folder


def _files(root: Path) -> Dict[str, Tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize("form", ["folder", "files"])
def test_archives_give_the_result_of_the_directory(
    run: Run, archives: Path, pristine: Path, tmp_path: Path, form: str
) -> None:
    before = _files(archives)
    paths = [archives] if form == "folder" else sorted(archives.glob("*.[tz]*[!x]"))
    paths = [p for p in paths if p.name != "readme.txt"]
    code, _, err = run("--data", *paths, "--ground-truth", "--work-dir", tmp_path / "tars")
    assert code == 0, err
    run("--data", pristine, "--ground-truth", "--work-dir", tmp_path / "directory")
    for name in ("results_nusc.json", "metrics.json"):
        found, wanted = ((tmp_path / w / name).read_bytes() for w in ("tars", "directory"))
        assert found == wanted
    assert _files(archives) == before, "something was written beside the archives"


def test_files_are_the_same_bytes(archives: Path, pristine: Path, tmp_path: Path) -> None:
    source, plain = open_data([archives], tmp_path), DirectorySource(pristine)
    for pattern in ("samples/CAM_FRONT/*", "samples/LIDAR_TOP/*", "can_bus/*", "v1.0-mini/s*"):
        for path in pristine.glob(pattern):
            name = str(path.relative_to(pristine))
            assert read(source, name) == read(plain, name)
    assert source.versions() == ["v1.0-mini"]
    assert not source.exists("samples/CAM_FRONT/none.jpg")
    with pytest.raises(DataError, match=r"no samples/none\.jpg in the archives"):
        source.open("samples/none.jpg")


def test_threads_read_the_same_bytes(archives: Path, pristine: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    source = open_data([archives], tmp_path)
    names = [str(p.relative_to(pristine)) for p in sorted(pristine.glob("samples/CAM_*/*"))] * 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: read(source, name), names))
    assert found == [(pristine / name).read_bytes() for name in names]


def test_one_thread_at_a_time_asks_an_index(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from ratarmountcore.mountsource.formats.tar import SQLiteIndexedTar

    source = TarSource([_tar(tmp_path / "v1.0-mini.tar", pristine, ["can_bus"])], tmp_path)
    inside, lookup = threading.Lock(), SQLiteIndexedTar.lookup

    def alone(tar: SQLiteIndexedTar, path: str) -> object:
        assert inside.acquire(blocking=False), "another thread is asking this index"
        time.sleep(0.01)  # the others run now
        try:
            return lookup(tar, path)
        finally:
            inside.release()

    monkeypatch.setattr(SQLiteIndexedTar, "lookup", alone)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(source.exists, ["can_bus/scene-0103_pose.json"] * 12))


def test_an_index_is_made_once_and_anew_for_a_changed_archive(
    pristine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tar = _tar(tmp_path / "v1.0-mini.tar", pristine, ["can_bus"])
    TarSource([tar], tmp_path / "index")
    assert "indexing v1.0-mini.tar" in capsys.readouterr().err
    TarSource([tar], tmp_path / "index")
    assert "indexing" not in capsys.readouterr().err
    _tar(tar, pristine, ["can_bus", "maps"])
    assert TarSource([tar], tmp_path / "index").exists("can_bus/scene-0103_pose.json")
    assert "indexing v1.0-mini.tar" in capsys.readouterr().err


def _copy(archives: Path, folder: Path, name: str, keep: float) -> Path:
    data = (archives / name).read_bytes()
    path = folder / name
    path.write_bytes(data[: int(len(data) * keep)])
    return path


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["v1.0-mini01_blobs.tgz", "v1.0-mini02_blobs.tar", "can_bus.zip"])
def test_a_cut_archive_is_named(archives: Path, tmp_path: Path, name: str, keep: float) -> None:
    path = _copy(archives, tmp_path, name, keep)
    with pytest.raises(DataError, match="cut off") as caught:
        TarSource([path], tmp_path / "index")
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert list((tmp_path / "index").glob("*.sqlite*")) == [], "an index of half an archive is kept"


def test_all_cut_archives_are_named_at_once(run: Run, archives: Path, tmp_path: Path) -> None:
    names = ["v1.0-mini01_blobs.tgz", "v1.0-mini02_blobs.tar"]
    paths = [_copy(archives, tmp_path, name, 0.5) for name in names]
    words = ["--data", archives / "v1.0-mini_meta.tgz", *paths, "--ground-truth"]
    code, _, err = run(*words, "--work-dir", tmp_path / "w")
    assert code == ExitCode.DATA
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert all(name in line for name in names)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("v1.0-mini_meta.tgz", "cannot tell the nuScenes version"),
        ("v1.0-mini01_blobs.tgz", "camera images are missing"),
        ("can_bus.zip", "no CAN bus for 2 of 2 scenes"),
    ],
)
def test_a_missing_archive_is_named(
    run: Run, archives: Path, tmp_path: Path, left_out: str, message: str
) -> None:
    kinds = (".tgz", ".tar", ".zip")
    paths = [p for p in archives.iterdir() if p.suffix in kinds and p.name != left_out]
    code, _, err = run("--data", *paths, "--ground-truth", "--work-dir", tmp_path)
    assert code == ExitCode.DATA
    assert message in err
    assert "Traceback" not in err
