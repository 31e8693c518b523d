"""A download under way, in a file that only its maker may touch and any later one resumes."""

import hashlib
import io
import json
import os
import secrets
from contextlib import suppress
from typing import Self

from builder.adapters.storage.folder import storage_errors
from builder.adapters.storage.hashing import refuse_difference
from builder.adapters.storage.locks_fs import still_named, try_lock
from builder.adapters.storage.store import Store
from builder.domain.artifact import Artifact

_CHUNK = 1 << 20


class Partial:
    """The bytes of one artifact so far, locked against every other Cellar until closed.

    A partial is resumed only from the same location, and only while that location shows the same
    validator (ETag or date): bytes of two versions are never spliced.
    """

    def __init__(self, store: Store, artifact: Artifact, file: io.BufferedRandom) -> None:
        self._store, self._artifact, self._file = store, artifact, file
        self._folder = store.folders["partial"]
        self._origin = f"{artifact.sha256}.from"
        self._hash = hashlib.sha256()
        self.size = 0
        self.resumed = False

    @classmethod
    def claim(cls, store: Store, artifact: Artifact) -> Self | None:
        """Take the partial of `artifact`; None while another Cellar has it, or has finished it."""
        folder = store.folders["partial"]
        with storage_errors(store.root):
            file = folder.keep(artifact.sha256)
            # It may have become an object, or garbage, between opening and locking.
            if try_lock(file) and still_named(file, folder, artifact.sha256):
                claimed = cls(store, artifact, file)
                if not store.has(artifact.sha256):
                    return claimed
                claimed.close()
            file.close()
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the next one have it; what is there stays for a resume, an empty file does not."""
        if self._file.closed:
            return
        with suppress(OSError):
            if not self.size and still_named(self._file, self._folder, self._artifact.sha256):
                self._forget()
        with suppress(OSError):  # a full disk was reported when it was met
            self._file.close()

    def finished(self) -> bool:
        """Say whether all bytes are there and right: a Cellar died just before moving them."""
        with storage_errors(self._store.root):
            if os.fstat(self._file.fileno()).st_size != self._artifact.size:
                return False
            self._read_back()
        return self.sha256() == self._artifact.sha256

    def resume(self, origin: str) -> str | None:
        """Return the validator to resume `origin` with, or None where the start is at byte 0.

        Reads and hashes what is there.
        """
        validator = self._validator(origin)
        if validator:
            with storage_errors(self._store.root):
                self._read_back()
        self.resumed = validator is not None and self.size > 0
        return validator if self.resumed else None

    def restart(self, origin: str, validator: str | None) -> None:
        """Drop what is there and begin anew, from `origin` as it is under `validator`."""
        with storage_errors(self._store.root):
            self._file.seek(0)
            self._file.truncate()
            self._hash, self.size, self.resumed = hashlib.sha256(), 0, False
            self._folder.remove(self._origin)
            if validator:
                with self._folder.keep(self._origin) as note:
                    note.write(json.dumps([origin, validator]).encode())

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        with storage_errors(self._store.root):
            self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def sha256(self) -> str:
        """Return the sha256 of the bytes so far."""
        return self._hash.hexdigest()

    def commit(self, where: str) -> None:
        """Move the bytes into the store for good, if they are the locked ones."""
        refuse_difference(self._artifact, got=self.sha256(), size=self.size, where=where)
        with storage_errors(self._store.root):
            sha256 = self._artifact.sha256
            self._store.commit(self._file, self._folder, sha256, sha256)
            self._folder.remove(self._origin)

    def set_aside(self) -> str:
        """Move wrong bytes to quarantine/, begin anew, and say where they lie."""
        sha256, tmp = self._artifact.sha256, self._store.folders["tmp"]
        name, aside = secrets.token_hex(16), f"{sha256[:16]}-{secrets.token_hex(4)}"
        with storage_errors(self._store.root):
            self._folder.remove(self._origin)
            self._file.flush()
            fresh = tmp.new(name)
            try_lock(fresh)  # before anyone else can see it
            self._folder.link(sha256, self._store.folders["quarantine"], aside)
            tmp.move(name, self._folder, sha256)
            self._file.close()
            self._file = fresh
            self._hash, self.size, self.resumed = hashlib.sha256(), 0, False
        return str(self._store.folders["quarantine"].path / aside)

    def _read_back(self) -> None:
        self._file.flush()
        self._file.seek(0)
        self._hash, self.size = hashlib.sha256(), 0
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            self.size += len(chunk)

    def _validator(self, origin: str) -> str | None:
        try:
            with self._folder.read(self._origin) as note:
                known, validator = json.loads(note.read(4096))
        except (OSError, ValueError, TypeError):  # absent, or half-written when a Cellar died
            return None
        return str(validator) if known == origin else None

    def _forget(self) -> None:
        self._folder.remove(self._origin)
        self._folder.remove(self._artifact.sha256)
