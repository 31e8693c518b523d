"""What the user named, audited: ELF files, a folder, a wheel, an image on disk or in an engine."""

import hashlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from builder.adapters.audit.audit_cache import AuditCache, KeptTarget
from builder.adapters.audit.audit_inputs import (
    Inventory,
    Item,
    looks_like_elf,
    read_folder,
    read_wheel,
)
from builder.adapters.audit.auditor import Auditor
from builder.adapters.audit.elf import ElfFile
from builder.adapters.audit.image_files import ImageHead, open_image
from builder.domain.audit.report import FileAudit
from builder.errors import UsageError


class ImageSource(Protocol):
    """A container engine, as far as an audit needs one."""

    def digest(self, reference: str) -> str:
        """Return the content digest of a local image; one that is not there is a UsageError."""
        ...

    def save(self, reference: str, path: Path) -> None:
        """Write the image as an archive."""
        ...


@dataclass(frozen=True, kw_only=True)
class Audited:
    """All files of one target, and what an image sets in its environment."""

    target: str
    digest: str
    files: tuple[FileAudit, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class TargetAuditor:
    """Finds out what a word on the command line means, and audits it."""

    def __init__(self, auditor: Auditor, cache: AuditCache | None, engine: ImageSource) -> None:
        self._auditor = auditor
        self._cache = cache
        self._engine = engine

    def audit(self, words: Sequence[str]) -> Audited:
        """Audit one target, or several ELF files together."""
        paths = [Path(word) for word in words]
        if len(words) > 1:
            missing = [word for word, path in zip(words, paths, strict=True) if not path.is_file()]
            if missing:
                message = f"{missing[0]} is no file; several targets must all be ELF files"
                raise UsageError(message, hint="audit folders, wheels and images one at a time")
            return self._files(paths)
        (path,) = paths
        if not path.exists():
            return self._reference(words[0])
        if path.is_dir():
            layout = (path / "index.json").is_file() and (path / "oci-layout").is_file()
            return self._image(path) if layout else self._finish(read_folder(path), "")
        return self._one_file(path)

    def _one_file(self, path: Path) -> Audited:
        if looks_like_elf(path):
            return self._files([path])
        try:
            if zipfile.is_zipfile(path):
                return self._wheel(path)
            if tarfile.is_tarfile(path):
                return self._image(path)
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror or error}"
            raise UsageError(message, hint="check its owner and mode") from error
        message = f"{path} is no ELF file, wheel or image archive"
        raise UsageError(message, hint="give one of those, a folder, or an image's name")

    def _files(self, paths: Sequence[Path]) -> Audited:
        for path in paths:
            with ElfFile(path) as elf:  # a single damaged file is the answer, not a finding
                _ = (elf.head, elf.sections)
        items = tuple(Item(name=str(path), path=path) for path in paths)
        return self._finish(Inventory(target=", ".join(map(str, paths)), items=items), "")

    def _wheel(self, path: Path) -> Audited:
        with path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        known = self._kept(path.name, digest)
        if known is not None:
            return known
        with _scratch() as folder:
            return self._finish(read_wheel(path, folder), digest)

    def _image(self, path: Path, name: str = "") -> Audited:
        with open_image(path) as image:
            head = image.head()
            known = self._kept(name or str(path), head.digest)
            if known is not None:
                return known
            with _scratch() as folder:
                return self._finish(image.unpack(head, folder), head.digest, name)

    def _reference(self, reference: str) -> Audited:
        digest = self._engine.digest(reference)
        known = self._kept(reference, digest)
        if known is not None:
            return known
        with _scratch() as folder:
            archive = folder / "image.tar"
            self._engine.save(reference, archive)
            with open_image(archive) as image:
                head: ImageHead = image.head()
                return self._finish(image.unpack(head, folder), digest, reference)

    def _finish(self, inventory: Inventory, digest: str, name: str = "") -> Audited:
        files = self._auditor.audit(inventory)
        if self._cache is not None and digest:
            kept = KeptTarget(
                files=tuple((file.name, file.identity) for file in files),
                environment=dict(inventory.environment),
            )
            self._cache.keep_target(digest, kept)
        return Audited(
            target=name or inventory.target,
            digest=digest,
            files=files,
            environment=inventory.environment,
        )

    def _kept(self, name: str, digest: str) -> Audited | None:
        """Put a target together from the cache; None where any part of it is missing."""
        if self._cache is None:
            return None
        kept = self._cache.target(digest)
        if kept is None:
            return None
        files = [self._cache.named_file(*part) for part in kept.files]
        if any(file is None for file in files):
            return None
        return Audited(
            target=name,
            digest=digest,
            files=tuple(file for file in files if file is not None),
            environment=kept.environment,
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cellar-audit-") as folder:
        yield Path(folder)
