"""Camera images as files, which is how upstream's pipeline reads them."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Iterator

from bevformer_eval.data import Sample
from bevformer_eval.data.images import read
from bevformer_eval.data.source import DirectorySource, Source
from bevformer_eval.output import storage_errors


class Images:
    """Says where an image lies; one that is inside of an archive lies there while it is needed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unpacked = None
        if not isinstance(source, DirectorySource):
            with storage_errors(Path(tempfile.gettempdir())):
                self._unpacked = tempfile.TemporaryDirectory(prefix="bevformer-eval-")

    def place(self, path: str) -> str:
        """Return the file of a path below the data root."""
        if isinstance(self._source, DirectorySource):
            return str(self._source.root.resolve() / path)
        assert self._unpacked is not None  # noqa: S101 - made above
        return str(Path(self._unpacked.name) / path)

    @contextlib.contextmanager
    def ready(self, sample: Sample) -> Iterator[None]:
        """Have the six images of a sample in their places for as long as the block lasts."""
        if self._unpacked is None:
            yield
            return
        files = [Path(self.place(path)) for path in sample.images.values()]
        try:
            with storage_errors(Path(self._unpacked.name)):
                for file, path in zip(files, sample.images.values()):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(read(self._source, path))
            yield
        finally:
            for file in files:
                with contextlib.suppress(OSError):
                    file.unlink()
