"""Op wheels in the store: one folder a key, with the wheel under its true name and its sha256."""

import errno
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from builder.adapters.storage.folder import Folder, single
from builder.adapters.storage.hashing import copy_hashed, make_durable, sha256_of
from builder.adapters.storage.locks_fs import GC_LOCK, locked
from builder.errors import IntegrityError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{7,127}")
_RECORD = "sha256"  # in the form of sha256sum: digest, two spaces, name
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}


class OpWheels:
    """The `ops` folder of a store, whose `folders` are open by name."""

    def __init__(self, folders: Mapping[str, Folder]) -> None:
        self._folders = folders

    def find(self, key: str) -> Path | None:
        """Return the wheel under `key`, hashed again; wrong bytes are set aside and named."""
        record = self.record(key)
        if record is None:
            return None
        name, expected = record
        with self._folders["ops"].sub(key) as folder:
            got = self._hash(folder, name)
            if got == expected:
                with suppress(OSError):  # a store may be read-only
                    os.utime(folder.fd)  # its last use, for `gc`
                return folder.path / name
        self.set_aside(key)
        message = f"op wheel {name or key}: expected sha256 {expected}, got {got}; it was set aside"
        raise IntegrityError(message, hint="run the same command again: it is compiled anew")

    def fault(self, key: str) -> str:
        """Return what is wrong with the wheel under `key`, or nothing."""
        try:
            record = self.record(key)
            if record is None:
                return "its record is missing"
            with self._folders["ops"].sub(key) as folder:
                got = self._hash(folder, record[0])
        except (OSError, ValueError):
            return "it is no op wheel"
        return "" if got == record[1] else f"expected sha256 {record[1]}, got {got}"

    def record(self, key: str) -> tuple[str, str] | None:
        """Return file name and sha256 of the wheel under `key`, or None."""
        if not _KEY.fullmatch(key):
            message = f"{key!r} is no key of an op wheel"
            raise ValueError(message)
        try:
            with self._folders["ops"].sub(key) as folder, folder.read(_RECORD) as file:
                digest, _, name = file.read(4096).decode(errors="replace").strip().partition("  ")
        except FileNotFoundError:
            return None
        return name, digest

    def add(self, key: str, name: str, source: BinaryIO) -> Path:
        """Keep what `source` holds as the wheel `name` under `key`; other bytes are refused."""
        made = f"op-{secrets.token_hex(8)}"
        tmp = self._folders["tmp"]
        with locked(self._folders["locks"], GC_LOCK, shared=True):
            try:
                digest = self._write(made, name, source)
                if not self._is_kept(key, name, digest):
                    self._place(made, key, name, digest)
            finally:
                if tmp.stat(made) is not None:
                    tmp.remove_tree(made)
        return self._folders["ops"].path / key / name

    def set_aside(self, key: str) -> None:
        """Move what stands under `key` to quarantine/."""
        aside = f"op-{key[:16]}-{secrets.token_hex(4)}"
        self._folders["ops"].move(key, self._folders["quarantine"], aside)

    def _write(self, made: str, name: str, source: BinaryIO) -> str:
        with self._folders["tmp"].sub(made, create=True) as folder:
            with folder.new(single(name)) as target:
                digest, _ = copy_hashed(source, target)
                make_durable(target)
            with folder.new(_RECORD) as record:
                record.write(f"{digest}  {name}\n".encode())
                make_durable(record)
            folder.sync()
        return digest

    def _place(self, made: str, key: str, name: str, digest: str) -> None:
        try:
            self._folders["tmp"].move(made, self._folders["ops"], key)
        except OSError as error:  # another Cellar was first under this key
            if error.errno not in _TAKEN or not self._is_kept(key, name, digest):
                raise
        self._folders["ops"].sync()

    def _is_kept(self, key: str, name: str, digest: str) -> bool:
        kept = self.record(key)
        if kept is not None and kept[1] != digest:
            message = f"op wheel {name}: its key holds sha256 {kept[1]}, now {digest} came"
            raise IntegrityError(message, hint="`cellar reproduce` says what differs")
        return kept is not None

    def _hash(self, folder: Folder, name: str) -> str:
        try:
            with folder.read(single(name)) as file:
                return sha256_of(file)
        except (OSError, ValueError) as error:  # gone, a link, or a record that names nothing
            return f"nothing readable ({error})"
