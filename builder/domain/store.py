"""The store as commands see it: locked inputs under their sha256, op wheels under their key."""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from builder.domain.artifact import Artifact


class Fault(StrEnum):
    """What can be wrong with a thing in the store."""

    CORRUPT = "corrupt"  # its bytes do not have its digest
    MISSING = "missing"  # a lock needs it and it is not there
    FOREIGN = "foreign"  # a link, a folder or a name that the store never writes
    WRITABLE = "writable"  # the bytes are right, the mode invites a change


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault in the store: `name` is a sha256 or a path in the store, `detail` is for people."""

    fault: Fault
    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of the store one kind of thing takes: `size` in bytes on disk."""

    kind: str
    count: int
    size: int


class Store(Protocol):
    """Content-addressed storage; whatever it hands out was hashed again at that moment."""

    @property
    def root(self) -> Path:
        """Return the directory that holds the store."""
        ...

    def has(self, sha256: str) -> bool:
        """Say whether something stands under this digest (without hashing it)."""
        ...

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes of what stands under this digest, or None."""
        ...

    def path(self, artifact: Artifact) -> Path:
        """Return where `artifact` lies, after hashing it; IntegrityError sets wrong bytes aside."""
        ...

    def add_file(self, path: Path, artifact: Artifact) -> None:
        """Copy the file `path` in, if its bytes are those of `artifact` (else IntegrityError)."""
        ...

    def link_into(self, artifact: Artifact, folder: Path) -> Path:
        """Put `artifact` into `folder` under its file name, hashed there; return the new path."""
        ...

    def op_wheel(self, key: str) -> Path | None:
        """Return the op wheel that was compiled under `key`, hashed again, or None."""
        ...

    def add_op_wheel(self, key: str, path: Path) -> Path:
        """Keep the op wheel `path` under `key`; other bytes under a kept key are refused."""
        ...

    def lease(self, digests: Iterable[str]) -> AbstractContextManager[None]:
        """Keep `gc` from removing `digests` for as long as the block, or this process, lives."""
        ...


class StoreCare(Protocol):
    """What verifying, measuring and cleaning a store needs of it."""

    def digests(self) -> list[str]:
        """Return the digests that the store holds, sorted."""
        ...

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes of what stands under this digest, or None."""
        ...

    def check(self, sha256: str) -> Finding | None:
        """Hash what stands under this digest; return what is wrong with it."""
        ...

    def check_rest(self) -> list[Finding]:
        """Return what is wrong with op wheels, and what in the store never belonged there."""
        ...

    def mend(self, finding: Finding) -> None:
        """Set damaged or foreign things aside, or restore their mode."""
        ...

    def usage(self) -> list[Usage]:
        """Return the space taken by each kind of thing."""
        ...

    def collect(self, live: Collection[str], *, idle_days: int, dry_run: bool) -> list[Usage]:
        """Remove objects neither `live` nor leased, and leftovers; return what went.

        Op wheels and set-aside bytes go when nobody used them for `idle_days`.
        """
        ...
