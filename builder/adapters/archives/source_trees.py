"""Source trees: any archive of a commit, known by git's hash of its tree, as one canonical tar.

What a git host packs changes with its tools; the files of a tree do not. So a source is locked by
the sha256 of a tar that holds the tree and nothing else: names sorted, no owner, no time.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.adapters.archives.unpack import unpack_tar
from builder.adapters.storage.folder import storage_errors
from builder.adapters.storage.tree import Limits
from builder.domain.git_tree import GitFile, tree_hash

_LIMITS = Limits(entries=100_000, size=2 << 30)
_COMMENT = "comment"  # the pax header in which `git archive` notes the commit
_COMMIT_DIGITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """What an archive holds: its git tree, and the commit that it says it was made of, if any."""

    tree: str
    commit: str
    folder: str  # the one folder around all files, as git hosts pack them; or nothing

    def __str__(self) -> str:
        """Return what the archive holds, for people."""
        return f"the tree {self.tree}" + (f" of commit {self.commit}" if self.commit else "")


def repack(archive: Path, into: Path) -> SourceTree:
    """Write the canonical tar of a tar of a source tree, and say which tree it is.

    An archive that is damaged or leads outside is an IntegrityError.
    """
    with storage_errors(into), TemporaryDirectory(dir=into.parent) as work:
        unpacked = Path(work) / "tree"
        with archive.open("rb") as file:
            unpack_tar(file, unpacked, limits=_LIMITS)
        inner = sole_folder(unpacked)
        files = sorted(_files(inner or unpacked), key=lambda file: file.path)
        _write(files, into)
    return SourceTree(
        tree=tree_hash(files), commit=_commit(archive), folder=inner.name if inner else ""
    )


def sole_folder(root: Path) -> Path | None:
    """Return the one folder that all of an unpacked archive lies in, if there is one."""
    entries = list(root.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    return entries[0] if alone else None


def _files(root: Path) -> Iterator[GitFile]:
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_symlink():
            yield GitFile(path=parts, content=str(path.readlink()).encode(), link=True)
        elif path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            yield GitFile(path=parts, content=path.read_bytes(), executable=executable)


def _write(files: list[GitFile], into: Path) -> None:
    with tarfile.open(into, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            member = tarfile.TarInfo("/".join(file.path))
            member.mode = 0o755 if file.executable or file.link else 0o644
            if file.link:
                member.type, member.linkname = tarfile.SYMTYPE, file.content.decode()
                tar.addfile(member)
            else:
                member.size = len(file.content)
                tar.addfile(member, io.BytesIO(file.content))


def _commit(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        tar.next()  # the global header comes before the first member
        comment = tar.pax_headers.get(_COMMENT, "")
    return comment if len(comment) == _COMMIT_DIGITS else ""
