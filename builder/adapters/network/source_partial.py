"""The archive of a source tree on its way into the store, which keeps the canonical tar of it."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.adapters.archives.source_import import refuse_other_tree
from builder.adapters.archives.source_trees import repack
from builder.adapters.storage.folder import storage_errors
from builder.adapters.storage.partial import Partial


class SourcePartial(Partial):
    """As a Partial, but judged by git's hash of the tree: what a git host packs may change."""

    def finished(self) -> bool:
        """Say that it is not: an archive's own size and hash are not known."""
        return False

    def commit(self, where: str) -> None:
        """Put the canonical tar into the store, if the archive holds the locked tree."""
        with storage_errors(self._store.root), TemporaryDirectory(prefix="cellar-source-") as work:
            archive, canonical = Path(work) / "archive", Path(work) / "canonical.tar"
            self._file.seek(0)
            with archive.open("xb") as copy:
                shutil.copyfileobj(self._file, copy)
            refuse_other_tree(self._artifact, repack(archive, canonical), where)
            self._store.add_file(canonical, self._artifact)
        self.restart("", None)  # the archive itself is not kept
