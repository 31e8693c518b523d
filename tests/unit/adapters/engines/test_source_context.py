"""Sources in a build: as they came where nothing is edited, else a tree with its edits applied."""

import io
import os
import shutil
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.adapters.engines.source_context import write_source
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.edits import Edit
from builder.errors import DataError
from tests.unit.commands import fakes

SDIST = replace(fakes.artifact("mmcv-full", ArtifactKind.SDIST), filename="mmcv-full-1.tar.gz")
TREE = replace(fakes.artifact("bevformer", ArtifactKind.SOURCE), filename="bevformer-2f.tar")


@dataclass
class Shelf(fakes.FakeStore):
    """Hands out one archive, which lies in `folder`."""

    folder: Path = Path()

    def path(self, artifact: Artifact) -> Path:
        return self.folder / artifact.filename

    def link_into(self, artifact: Artifact, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(self.path(artifact), folder / artifact.filename))


def edit(file: str, find: str, replacement: str, *, count: int = 1) -> Edit:
    return Edit(
        source="x", file=file, find=find, replace=replacement, count=count, why="w", until="u"
    )


def shelf(tmp_path: Path, source: Artifact, prefix: str = "") -> Shelf:
    files = {"a.py": b"import old\r\n", "run.sh": b"#!/bin/sh\n", "data.bin": b"\xff\xfe"}
    with tarfile.open(tmp_path / source.filename, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size, member.mode = len(content), 0o775 if name.endswith(".sh") else 0o600
            tar.addfile(member, io.BytesIO(content))
    return Shelf(folder=tmp_path)


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mode & 0o777, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_an_sdist_without_edits_is_the_file_itself(tmp_path: Path) -> None:
    store = shelf(tmp_path, SDIST, "mmcv-full-1/")
    write_source(SDIST, (), store, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mmcv-full-1.tar.gz"]


@pytest.mark.parametrize(
    ("source", "prefix"),
    [pytest.param(SDIST, "mmcv-full-1/", id="sdist"), pytest.param(TREE, "", id="tree")],
)
def test_edits_are_applied_to_the_tree(source: Artifact, prefix: str, tmp_path: Path) -> None:
    store = shelf(tmp_path, source, prefix)
    edits = [edit("a.py", "old\r\n", "new\r\n"), edit("pkg/setup.py", "", "setup()\n", count=0)]
    before = os.umask(0o077)
    try:
        write_source(source, edits[:1], store, tmp_path / "out")
    finally:
        os.umask(before)
    assert listing(tmp_path / "out") == {
        f"{source.name}/a.py": (0o644, b"import new\r\n"),
        f"{source.name}/data.bin": (0o644, b"\xff\xfe"),
        f"{source.name}/run.sh": (0o755, b"#!/bin/sh\n"),
    }
    write_source(source, edits, store, tmp_path / "again")
    made = listing(tmp_path / "again")[f"{source.name}/pkg/setup.py"]
    assert made == (0o644, b"setup()\n")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(
            edit("a.py", "absent", "new"),
            "x: a.py holds 'absent' not at all, and the edit wants once; the edit: w",
            id="no-match",
        ),
        pytest.param(
            edit("a.py", "", "new", count=0), "x: a.py exists already; the edit: w", id="exists"
        ),
        pytest.param(edit("data.bin", "a", "b"), "data.bin: an edit names it", id="no-text"),
    ],
)
def test_an_edit_that_does_not_fit_stops_the_build(bad: Edit, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        write_source(TREE, [bad], shelf(tmp_path, TREE), tmp_path / "out")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_sdist_of_another_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mmcv-full-1\.tar\.gz: not one folder"):
        write_source(SDIST, [edit("a", "b", "c")], shelf(tmp_path, SDIST), tmp_path / "out")
