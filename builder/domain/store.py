"""The store as commands see it: locked inputs under their sha256, op wheels under their key."""

import re
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from builder.domain.artifact import Artifact

_OBJECT = re.compile(r"objects/[0-9a-f]{2}/([0-9a-f]{64})")


class Fault(StrEnum):
    """What can be wrong with a thing in the store."""

    CORRUPT = "corrupt"  # its bytes do not have its digest
    MISSING = "missing"  # a lock needs it and it is not there
    FOREIGN = "foreign"  # a link, a folder or a name that the store never writes
    MODE = "mode"  # the bytes may be right, but they can be changed, or not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault in the store: `name` is a path below its root, `detail` is for people."""

    fault: Fault
    name: str
    detail: str

    @property
    def sha256(self) -> str:
        """Return the digest of the object that the fault is about, or nothing."""
        found = _OBJECT.fullmatch(self.name)
        return found[1] if found else ""


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

    def note_complete(self, name: str, digests: Iterable[str]) -> None:
        """Record that `digests` are all here for the lock `name`, so that a loss is noticed."""
        ...

    def lease(self, digests: Iterable[str]) -> AbstractContextManager[None]:
        """Keep `gc` from removing `digests` for as long as the block, or this process, lives."""
        ...


class StoreCare(Protocol):
    """What verifying, measuring and cleaning a store needs of it."""

    def digests(self) -> list[str]:
        """Return the digests that the store holds, sorted."""
        ...

    def check(self, sha256: str) -> Finding | None:
        """Hash what stands under this digest; return what is wrong with it."""
        ...

    def check_rest(self) -> list[Finding]:
        """Return faults of op wheels, inputs that vanished, and things that never belonged."""
        ...

    def complete(self, name: str) -> list[str]:
        """Return the digests that were noted for the lock `name`, or none."""
        ...

    def mend(self, finding: Finding) -> None:
        """Set damaged or foreign things aside, or restore their mode."""
        ...

    def usage(self) -> list[Usage]:
        """Return the space taken by each kind of thing."""
        ...

    def collect(
        self, live: Collection[str], *, idle_days: float, dry_run: bool = False
    ) -> list[Usage]:
        """Remove objects neither `live` nor leased, and leftovers; return what went.

        Op wheels and set-aside bytes go when nobody used them for `idle_days`.
        """
        ...
