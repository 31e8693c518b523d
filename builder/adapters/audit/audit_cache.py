"""Audits kept between runs: of files by build-id or sha256, of whole targets by digest."""

import gzip
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cattrs

from builder.adapters.audit.audit_documents import file_document, read_file_document
from builder.domain.audit.report import FileAudit

# Raised whenever rules or format change, so that no judgement outlives the code that made it.
REVISION = 5

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTarget:
    """The files of a target by (name, identity), and its environment."""

    files: tuple[tuple[str, str], ...]
    environment: dict[str, str]


class AuditCache:
    """A folder of gzipped JSON; whatever cannot be read or written counts as absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / f"revision-{REVISION}"

    def file(self, identity: str) -> FileAudit | None:
        """Return the audit of the file with this identity."""
        document = self._load("files", identity)
        try:
            return None if document is None else read_file_document(document)
        except ValueError:
            return None

    def named_file(self, name: str, identity: str) -> FileAudit | None:
        """Return the same, under the name that the file has in a target."""
        audit = self.file(identity)
        return None if audit is None else replace(audit, name=name)

    def keep_file(self, audit: FileAudit) -> None:
        """Keep one audit under its identity; a file that could not be read is not kept."""
        if audit.identity and not audit.fault:
            self._save("files", audit.identity, file_document(audit))

    def target(self, digest: str) -> KeptTarget | None:
        """Return what `keep_target` kept under this digest."""
        document = self._load("targets", digest)
        try:
            return None if document is None else cattrs.structure(document, KeptTarget)
        except (cattrs.errors.BaseValidationError, *_UNREADABLE):
            return None

    def keep_target(self, digest: str, kept: KeptTarget) -> None:
        """Keep what a target holds, so that it need not be unpacked again."""
        self._save("targets", digest, cast("dict[str, object]", cattrs.unstructure(kept)))

    def _path(self, kind: str, key: str) -> Path:
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in key)
        return self._folder / kind / name[:2] / f"{name}.json.gz"

    def _load(self, kind: str, key: str) -> dict[str, object] | None:
        if not key:
            return None
        try:
            loaded = json.loads(gzip.decompress(self._path(kind, key).read_bytes()))
        except _UNREADABLE:
            return None
        return loaded if isinstance(loaded, dict) else None

    def _save(self, kind: str, key: str, document: dict[str, object]) -> None:
        path = self._path(kind, key)
        data = gzip.compress(json.dumps(document).encode(), compresslevel=1, mtime=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except OSError:
            return  # a full or read-only disk costs time only: the next run audits anew
