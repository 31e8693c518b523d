"""Source trees that a person brought in a folder: archives of commits, and clones with them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from builder.adapters import process
from builder.adapters.archives.source_trees import SourceTree, repack
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.progress import Progress
from builder.errors import CellarError, IntegrityError

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_LARGEST = 1 << 28  # bytes of an archive: a data set that lies in the same folder is no source


class SourceImport:
    """Finds the trees of a lock in a folder, and packs each as its canonical tar into `work`.

    `refused` has one line for each archive or clone that bears the name of a missing source and
    holds another tree.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder, self._work = folder, work
        self._archives: dict[Path, tuple[SourceTree, Path] | str] = {}
        self.refused: tuple[str, ...] = ()

    def find(self, wanted: Sequence[Artifact], progress: Progress) -> Mapping[str, Path]:
        """Return the canonical tar of each wanted tree that is there."""
        trees = [one for one in wanted if one.kind is ArtifactKind.SOURCE]
        if not trees:
            return {}
        task = progress.task(f"looking for {len(trees)} source trees")
        archives, clones = _candidates(self._folder)
        for path in archives:
            self._archives.setdefault(path, self._packed(path))
        found = {}
        for tree in trees:
            packed = self._archived(tree) or self._cloned(tree, clones)
            if packed:
                found[tree.sha256] = packed
        lacking = [one for one in trees if one.sha256 not in found]
        self.refused = tuple(line for one in lacking for line in self._others(one, clones))
        task.finish()
        return found

    def _packed(self, archive: Path) -> tuple[SourceTree, Path] | str:
        into = self._work / f"{len(self._archives)}.tar"
        try:
            return repack(archive, into), into
        except CellarError as error:
            return str(error)

    def _archived(self, wanted: Artifact) -> Path | None:
        packed = (one for one in self._archives.values() if not isinstance(one, str))
        return next((path for tree, path in packed if tree.tree == wanted.tree), None)

    def _cloned(self, wanted: Artifact, clones: Sequence[Path]) -> Path | None:
        for clone in clones:
            exported, into = self._work / "clone.tar", self._work / f"{wanted.name}.tar"
            argv = ["git", "--git-dir", str(clone), "archive", "--format=tar", "-o", str(exported)]
            try:
                process.run([*argv, wanted.tree])
            except process.ToolError:  # it does not have the tree
                continue
            if repack(exported, into).tree == wanted.tree:
                return into
        return None

    def _others(self, wanted: Artifact, clones: Sequence[Path]) -> Iterator[str]:
        """Yield what was found under the name of a source, and why it was not taken."""
        meant = f"the tree {wanted.tree} of {wanted.filename.removesuffix('.tar')}"
        names = {wanted.name.lower(), _repository(wanted).lower()}
        for path, packed in self._archives.items():
            inside = "" if isinstance(packed, str) else packed[0].folder
            if any(name in f"{path.name} {inside}".lower() for name in names):
                why = packed if isinstance(packed, str) else f"{path}: it holds {packed[0]}"
                yield f"{why}, not {meant}"
        for clone in clones:
            place = clone.parent if clone.name == ".git" else clone
            if any(name in f"{place.parent.name}/{place.name}".lower() for name in names):
                yield f"{place}: this clone does not have {meant}"


def refuse_other_tree(wanted: Artifact, found: SourceTree, where: str) -> None:
    """Raise IntegrityError where an archive holds another tree than the locked one."""
    if found.tree != wanted.tree:
        message = f"{wanted.filename}: {where} holds {found}, not the tree {wanted.tree}"
        raise IntegrityError(message, hint="the archive of another commit: it was not used")


def _repository(source: Artifact) -> str:
    """Return the last part of a repository's name: `https://host/owner/NAME/archive/...`."""
    return source.location.partition("/archive/")[0].rpartition("/")[2] or source.name


def _candidates(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the archives and the git directories below a folder, links not followed."""
    archives, clones = [], []
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        if {"HEAD", "objects", "refs"} <= {*folders, *names}:
            clones.append(here)
            folders.clear()
            continue
        folders.sort()
        for name in sorted(names):
            path = here / name
            if name.endswith(_ARCHIVES) and path.is_file() and path.stat().st_size <= _LARGEST:
                archives.append(path)
    return archives, clones
