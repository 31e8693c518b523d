"""Source trees: whatever packs a commit, the canonical tar of its tree is the same."""

import io
import tarfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from builder.adapters import process
from builder.adapters.archives.source_import import SourceImport
from builder.adapters.archives.source_trees import repack
from builder.domain.artifact import Artifact, ArtifactKind
from builder.errors import IntegrityError
from tests.store_examples import Silent

COMMIT = "2f37d0d4932b064dce49154aef7173688410420f"
FILES = {"setup.py": "import x\n", "pkg/__init__.py": "", "tools/run.sh": "#!/bin/sh\n"}
TREE = "b0cb34fbd85e0f16db12d2e9b2e75cf567edf43a"
CANONICAL = "f4b5e19b09592ddc263e79b296ea483297d3f5c3b998fdec31f2e114462dee0a"


def pack(
    path: Path,
    files: Mapping[str, str] = FILES,
    *,
    prefix: str = "",
    commit: str = "",
    umask: int = 0o002,
) -> Path:
    """Write a tar of `files` and a link, as `git archive` would under this umask."""
    headers = {"comment": commit} if commit else {}
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w", pax_headers=headers) as tar:
        for name in sorted(files, reverse=True):
            member = tarfile.TarInfo(prefix + name)
            member.size, member.mtime, member.uid = len(files[name]), 7, 1000
            member.mode = (0o777 if name.endswith(".sh") else 0o666) & ~umask
            tar.addfile(member, io.BytesIO(files[name].encode()))
        link = tarfile.TarInfo(prefix + "run")
        link.type, link.linkname = tarfile.SYMTYPE, "tools/run.sh"
        tar.addfile(link)
    return path


@pytest.mark.parametrize(
    ("prefix", "umask", "name"),
    [
        pytest.param("", 0o002, "plain.tar", id="git-archive"),
        pytest.param("BEVFormer-2f37d0d/", 0o022, "packed.tar.gz", id="a-git-host"),
        pytest.param("./", 0o077, "mine.tar", id="tar-by-hand"),
    ],
)
def test_every_archive_of_a_tree_gives_the_same_tar(
    prefix: str, umask: int, name: str, tmp_path: Path
) -> None:
    archive = pack(tmp_path / name, prefix=prefix, umask=umask)
    found = repack(archive, tmp_path / "out.tar")
    assert (found.tree, found.folder) == (TREE, prefix.strip("./"))
    assert sha256((tmp_path / "out.tar").read_bytes()).hexdigest() == CANONICAL


def test_an_archive_tells_its_commit(tmp_path: Path) -> None:
    found = repack(pack(tmp_path / "a.tar", commit=COMMIT), tmp_path / "out.tar")
    assert str(found) == f"the tree {TREE} of commit {COMMIT}"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"a\.tar\.gz"):
        repack(archive, tmp_path / "out.tar")


def wanted(tree: str = TREE) -> Artifact:
    return Artifact(
        kind=ArtifactKind.SOURCE,
        name="bevformer",
        version=COMMIT,
        filename=f"bevformer-{COMMIT}.tar",
        sha256=CANONICAL,
        size=10240,
        channel="git",
        location=f"https://github.com/fundamentalvision/BEVFormer/archive/{COMMIT}.tar.gz",
        tree=tree,
    )


def _archive(bag: Path) -> None:
    pack(bag / "any.tar.gz", prefix="whatever/")


def _clone(bag: Path) -> None:
    repository, identity = bag / "clone", ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for name, content in FILES.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(content)
    (repository / "tools/run.sh").chmod(0o755)
    (repository / "run").symlink_to("tools/run.sh")
    for words in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "x"]):
        process.run(["git", *words], cwd=repository)


@pytest.mark.parametrize("bring", [_archive, _clone], ids=["archive", "clone"])
def test_a_tree_is_found_in_a_folder(bring: Callable[[Path], None], tmp_path: Path) -> None:
    bag, work = tmp_path / "bag" / "deep", tmp_path / "work"
    for folder in (bag, work):
        folder.mkdir(parents=True)
    bring(bag)
    (bag / "notes.tar").write_text("no archive at all")
    trees = SourceImport(tmp_path / "bag", work)
    found = trees.find([wanted()], Silent())
    assert sha256(found[CANONICAL].read_bytes()).hexdigest() == CANONICAL
    assert trees.refused == ()


def test_another_commit_is_named_in_one_line(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    other = pack(bag / "BEVFormer-master.tar.gz", {"a": "b"}, prefix="BEVFormer-1/", commit=COMMIT)
    pack(bag / "unrelated.tar", {"c": "d"})
    trees = SourceImport(bag, tmp_path)
    assert trees.find([wanted()], Silent()) == {}
    tree = repack(other, tmp_path / "out.tar").tree
    meant = f"the tree {TREE} of bevformer-{COMMIT}"
    assert trees.refused == (f"{other}: it holds the tree {tree} of commit {COMMIT}, not {meant}",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(
            b"x" * 1024,
            "not a sound tar archive: a header is damaged: invalid header",
            id="no-archive",
        ),
        pytest.param(b"", "not a sound tar archive: empty file", id="empty"),
    ],
)
def test_a_damaged_archive_is_named(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    archive = tmp_path / "bag" / "bevformer.tar"
    archive.write_bytes(content)
    trees = SourceImport(tmp_path / "bag", tmp_path)
    assert trees.find([wanted()], Silent()) == {}
    (line,) = trees.refused
    assert line.startswith(f"{archive}: ")
    assert why in line


def test_without_a_wanted_tree_nothing_is_read(tmp_path: Path) -> None:
    trees = SourceImport(tmp_path / "nowhere", tmp_path)
    assert trees.find([], Silent()) == {}
