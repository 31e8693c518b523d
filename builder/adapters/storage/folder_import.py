"""Files that a user brings in a folder, known by their sha256 whatever they are called."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from builder.adapters.storage.hashing import sha256_of
from builder.domain.artifact import Artifact
from builder.domain.progress import Progress
from builder.errors import UsageError


class FolderImport:
    """All plain files below one folder, hashed at most once each."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            message = f"{folder} is no folder"
            raise UsageError(message, hint="--from takes the folder that holds the files")
        self._folder = folder
        self._known: dict[Path, str] = {}

    def find(self, wanted: Sequence[Artifact], progress: Progress) -> Mapping[str, Path]:
        """Return the file that has each wanted sha256, for those that are there."""
        if not wanted:
            return {}
        sizes = {artifact.size for artifact in wanted}
        fitting = [
            (path, size)
            for path, size in self._files()
            if (None in sizes or size in sizes) and path not in self._known
        ]
        total = sum(size for _, size in fitting)
        task = progress.task(f"hashing {len(fitting)} files", total=total, unit="byte")
        for path, size in fitting:
            self._known[path] = _hash(path)
            task.advance(size)
        task.finish()
        by_hash = {sha256: path for path, sha256 in self._known.items()}
        return {one.sha256: by_hash[one.sha256] for one in wanted if one.sha256 in by_hash}

    def _files(self) -> Iterator[tuple[Path, int]]:
        for folder, folders, names in os.walk(self._folder):  # follows no link to a folder
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file():
                    yield path, path.stat().st_size


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return sha256_of(file)
    except OSError:  # unreadable: it cannot be what is wanted
        return ""
