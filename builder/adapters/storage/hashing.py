"""Bytes on their way: copied, hashed, compared with what the lock says, made durable."""

import hashlib
import io
import os
from typing import BinaryIO

from builder.domain.artifact import Artifact
from builder.errors import IntegrityError

OBJECT_MODE = 0o444

_CHUNK = 1 << 20


def sha256_of(file: io.BufferedReader | io.BufferedRandom) -> str:
    """Return the sha256 of `file` from where it stands to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_difference(artifact: Artifact, *, got: str, size: int, where: str) -> None:
    """Raise IntegrityError, naming input, expected and got, unless the bytes are as locked."""
    label = f"{artifact.filename} ({where})"
    hint = "`cellar fetch` brings it again; `cellar store verify --repair` heals the whole store"
    if artifact.size is not None and size != artifact.size:
        message = f"{label}: expected {artifact.size} bytes, got {size}"
        if got == artifact.sha256:
            hint = "the lock states a wrong size: make it anew with `cellar lock`"
        else:
            message += f"; expected sha256 {artifact.sha256}, got {got}"
        raise IntegrityError(message, hint=hint)
    if got != artifact.sha256:
        message = f"{label}: expected sha256 {artifact.sha256}, got {got}"
        raise IntegrityError(message, hint=hint)


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy all of `source` to `target`; return sha256 and size of the bytes that were written."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def make_durable(file: BinaryIO) -> None:
    """Write everything of `file` to the disk and make it read-only."""
    file.flush()
    os.fchmod(file.fileno(), OBJECT_MODE)
    os.fsync(file.fileno())
