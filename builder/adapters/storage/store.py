"""The content-addressed store on disk.

    objects/ab/abcd...   the bytes whose sha256 is the name, mode 0444
    ops/KEY/             one op wheel under its true file name, and its sha256
    partial/             downloads under way, each locked by whoever makes it
    quarantine/          wrong bytes, set aside
    complete/            which digests were all here for a lock, when it was fetched
    leases/, locks/      which processes live, and what they need
    tmp/                 files being copied in

Everything is reached through descriptors that were opened once, so that a link planted anywhere
below the root is refused and never followed.
"""

import errno
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.adapters.storage.folder import Folder, single, storage_errors
from builder.adapters.storage.hashing import (
    OBJECT_MODE,
    copy_hashed,
    make_durable,
    refuse_difference,
    sha256_of,
)
from builder.adapters.storage.locks_fs import GC_LOCK, locked, try_lock
from builder.adapters.storage.op_wheels import OpWheels
from builder.domain.artifact import Artifact
from builder.errors import IntegrityError, NetworkError, StorageError

FOLDERS = ("objects", "ops", "partial", "quarantine", "complete", "leases", "locks", "tmp")

SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}


class Store:
    """The store below one directory, which is made where it is absent."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with storage_errors(root):
            top = Folder.at(root, create=True)
            with top:
                self.folders = {name: top.sub(name, create=True) for name in FOLDERS}
        self.ops = OpWheels(self.folders)

    @property
    def root(self) -> Path:
        """Return the directory that holds the store."""
        return self._root

    def close(self) -> None:
        """Let go of the directories."""
        for folder in self.folders.values():
            folder.close()

    def has(self, sha256: str) -> bool:
        """Say whether something stands under this digest (without hashing it)."""
        with storage_errors(self._root):
            return self.size(sha256) is not None

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes of what stands under this digest, or None."""
        try:
            with self.shard(sha256) as shard:
                found = shard.stat(sha256)
        except FileNotFoundError:
            return None
        return found.st_size if found and stat.S_ISREG(found.st_mode) else None

    def path(self, artifact: Artifact) -> Path:
        """Return where `artifact` lies, after hashing it; IntegrityError sets wrong bytes aside."""
        with storage_errors(self._root), self._opened(artifact) as file:
            self._confirm(artifact, file)
        return self._root / "objects" / artifact.sha256[:2] / artifact.sha256

    def add_file(self, path: Path, artifact: Artifact) -> None:
        """Copy the file `path` in, if its bytes are those of `artifact` (else IntegrityError)."""
        with storage_errors(path):
            source = path.open("rb")
        with source, storage_errors(self._root), self.scratch() as (name, target):
            got, size = copy_hashed(source, target)
            refuse_difference(artifact, got=got, size=size, where=str(path))
            self.commit(target, self.folders["tmp"], name, artifact.sha256)

    def link_into(self, artifact: Artifact, folder: Path) -> Path:
        """Put `artifact` into `folder` under its file name, hashed there; return the new path."""
        into = folder / single(artifact.filename)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            into.unlink(missing_ok=True)
        with storage_errors(self._root), self._opened(artifact) as file:
            try:
                with self.shard(artifact.sha256) as shard:
                    os.link(artifact.sha256, into, src_dir_fd=shard.fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                with storage_errors(folder):
                    with into.open("xb") as target:
                        shutil.copyfileobj(file, target, _CHUNK)
                    into.chmod(OBJECT_MODE)
            try:
                with into.open("rb") as placed:  # what the build will read, not what we copied
                    self._confirm(artifact, placed)
            except IntegrityError:
                into.unlink()
                raise
        return into

    def op_wheel(self, key: str) -> Path | None:
        """Return the op wheel that was compiled under `key`, hashed again, or None."""
        with storage_errors(self._root):
            return self.ops.find(key)

    def add_op_wheel(self, key: str, path: Path) -> Path:
        """Keep the op wheel `path` under `key`; other bytes under a kept key are refused."""
        with storage_errors(path):
            source = path.open("rb")
        with source, storage_errors(self._root):
            return self.ops.add(key, path.name, source)

    def note_complete(self, name: str, digests: Iterable[str]) -> None:
        """Record that `digests` are all here for the lock `name`, so that a loss is noticed."""
        with storage_errors(self._root), self.scratch() as (made, file):
            file.write("".join(f"{digest}\n" for digest in sorted(set(digests))).encode())
            make_durable(file)
            self.folders["tmp"].move(made, self.folders["complete"], single(name))

    @contextmanager
    def lease(self, digests: Iterable[str]) -> Iterator[None]:
        """Keep `gc` from removing `digests` for as long as the block, or this process, lives."""
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        leases = self.folders["leases"]
        with storage_errors(self._root), locked(self.folders["locks"], GC_LOCK, shared=True):
            file = leases.new(name)
            try_lock(file)  # the kernel drops it with us, however we end
            file.write("".join(f"{digest}\n" for digest in sorted(set(digests))).encode())
            file.flush()
        try:
            yield
        finally:
            with file, storage_errors(self._root):
                leases.remove(name)

    @contextmanager
    def scratch(self) -> Iterator[tuple[str, io.BufferedRandom]]:
        """Make a file in tmp/ and give its name and handle; it is gone after the block."""
        name = secrets.token_hex(16)
        tmp = self.folders["tmp"]
        with locked(self.folders["locks"], GC_LOCK, shared=True):
            made = tmp.new(name)
            try_lock(made)  # says that we live
        with made as file:
            try:
                yield name, file
            finally:
                tmp.remove(name)

    def commit(self, file: io.BufferedRandom, folder: Folder, name: str, sha256: str) -> None:
        """Move the open file `name` of `folder`, whose digest is known, to its place; durable."""
        make_durable(file)
        with (
            locked(self.folders["locks"], GC_LOCK, shared=True),
            self.shard(sha256, create=True) as shard,
        ):
            folder.move(name, shard, sha256)
            shard.sync()

    def shard(self, sha256: str, *, create: bool = False) -> Folder:
        """Open the directory of objects in which `sha256` lies or will lie."""
        if not SHA256.fullmatch(sha256):
            message = f"{sha256!r} is not a sha256"
            raise ValueError(message)
        return self.folders["objects"].sub(sha256[:2], create=create)

    def set_aside(self, folder: str, name: str, label: str) -> Path:
        """Move `name` of a folder of the store to quarantine/ and return where it lies now."""
        aside = f"{label}-{secrets.token_hex(4)}"
        source = self.folders[folder]
        if folder == "objects":
            with source.sub(name[:2]) as shard:
                shard.move(name, self.folders["quarantine"], aside)
        else:
            source.move(name, self.folders["quarantine"], aside)
        return self._root / "quarantine" / aside

    @contextmanager
    def _opened(self, artifact: Artifact) -> Iterator[io.BufferedReader]:
        try:
            with self.shard(artifact.sha256) as shard:
                file = shard.read(artifact.sha256)
        except FileNotFoundError:
            message = f"{artifact.filename} (sha256 {artifact.sha256}) is not in the store"
            raise NetworkError(message, hint="`cellar fetch` brings it") from None
        with file:
            yield file

    def _confirm(self, artifact: Artifact, file: io.BufferedReader) -> None:
        got = sha256_of(file)
        try:
            refuse_difference(artifact, got=got, size=file.tell(), where=f"store {self._root}")
        except IntegrityError as error:
            if got == artifact.sha256:
                raise  # the bytes are right and the lock's size is wrong: nothing to set aside
            try:
                aside = self.set_aside("objects", artifact.sha256, f"{artifact.sha256[:16]}")
            except OSError as failure:
                message = f"{error}; it could not be set aside: {failure.strerror}"
                raise StorageError(message, hint=error.hint) from failure
            message = f"{error}; set aside as {aside}"
            raise IntegrityError(message, hint="`cellar fetch` brings it again") from None
