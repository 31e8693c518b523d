"""Where the bytes of nuScenes come from: a directory, or archives read in place."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Dict, List, Protocol, Tuple

from bevformer_eval.errors import DataError

Stamp = Tuple[int, int]  # size in bytes, modification time in ns


class Source(Protocol):
    """Read-only access by paths below the data root, such as `samples/CAM_FRONT/x.jpg`."""

    name: str

    def exists(self, path: str) -> bool:
        """Say whether there is such a file."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; raise DataError if it is not there."""
        ...

    def versions(self) -> List[str]:
        """Return the nuScenes versions (`v1.0-...`) whose tables it holds."""
        ...

    def stamps(self) -> Dict[str, Stamp]:
        """Return what tells this data from other or changed data, by file or archive."""
        ...


class DirectorySource:
    """A nuScenes directory, with can_bus/ in it or beside it."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(
                f"{root} is not a directory",
                "name the nuScenes root, or its .tgz/.tar files, with --data",
            )
        self.root = root
        self.name = str(root)

    def _path(self, path: str) -> Path:
        inside = self.root / path
        if path.startswith("can_bus/") and not inside.exists():
            return self.root.parent / path  # upstream's layout: data/nuscenes and data/can_bus
        return inside

    def exists(self, path: str) -> bool:
        """Say whether there is such a file."""
        return self._path(path).is_file()

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; raise DataError if it is not there or not readable."""
        target = self._path(path)
        try:
            return target.open("rb")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(
                f"{target}: {reason}", "check the data root and its permissions"
            ) from error

    def versions(self) -> List[str]:
        """Return the nuScenes versions whose tables are here."""
        return sorted(path.parent.name for path in self.root.glob("v1.0-*/scene.json"))

    def stamps(self) -> Dict[str, Stamp]:
        """Return size and time of every table."""
        found = {}
        for path in sorted(self.root.glob("v1.0-*/*.json")):
            status = path.stat()
            found[str(path.relative_to(self.root))] = (status.st_size, status.st_mtime_ns)
        return found
