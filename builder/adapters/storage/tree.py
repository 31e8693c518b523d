"""A directory tree that an archive is unpacked into, and that nothing in it can leave."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from builder.adapters.storage.folder import Folder, storage_errors
from builder.errors import IntegrityError

_CHUNK = 1 << 18
_OWNER, _OTHERS_WRITE = 0o600, 0o022
_LONGEST_NAME = 255  # bytes: a file name on every file system that we write to


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an archive may hold, and how far its entries are trusted.

    `size` in bytes once unpacked; `ratio` of that to the packed bytes; `depth` in folders.
    `ownership` keeps owners, set-id bits and links to anywhere, as a root file system needs them
    (owners only as root); without it links must stay inside and nobody gains a right.
    """

    entries: int = 500_000
    size: int = 64 << 30
    ratio: int = 1000
    depth: int = 64
    ownership: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Mode bits, owner and time (seconds) of one entry."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: float = 0.0


class Tree:
    """Writes entries below a new directory, each through descriptors and following no link."""

    def __init__(self, into: Path, label: str, limits: Limits) -> None:
        self._into, self._label, self._limits = into, label, limits
        self._seen: dict[tuple[str, ...], str] = {}  # what stands at each path: file, link, folder
        self._folders: dict[tuple[str, ...], Attributes] = {}
        self._written = self._entries = 0
        with storage_errors(into):
            into.mkdir(parents=True)
            self._root = Folder.at(into)

    def close(self) -> None:
        """Let go of the directory."""
        self._root.close()

    def discard(self) -> None:
        """Remove all that was written."""
        with storage_errors(self._into):
            for name in self._root.names():
                found = self._root.stat(name)
                if found is not None and stat.S_ISDIR(found.st_mode):
                    self._root.remove_tree(name)
                else:
                    self._root.remove(name)
            self._into.rmdir()

    def folder(self, name: str, attributes: Attributes) -> None:
        """Make a folder; naming one twice is allowed, since archives do that."""
        parts = self._parts(name)
        if not parts:
            return
        if self._seen.get(parts, "folder") != "folder":
            self._refuse(name, "it stands twice in the archive")
        self._count(name)
        with storage_errors(self._into):
            self._open(parts, name).close()
        self._folders[parts] = attributes

    def file(self, name: str, attributes: Attributes, content: IO[bytes]) -> None:
        """Write a file."""
        parts = self._claim(name, "file")
        with (
            storage_errors(self._into),
            self._open(parts[:-1], name) as parent,
            parent.new(parts[-1]) as file,
        ):
            while chunk := content.read(_CHUNK):
                self._written += len(chunk)
                if self._written > self._limits.size:
                    self._refuse(name, "the archive unpacks to more than is allowed")
                file.write(chunk)
            file.flush()
            self._dress(file.fileno(), attributes)

    def link(self, name: str, target: str, attributes: Attributes) -> None:
        """Make a symbolic link, which nobody follows while the tree is written."""
        if not target or "\0" in target:
            self._refuse(name, "its link names nothing")
        parts = self._claim(name, "link")
        with storage_errors(self._into), self._open(parts[:-1], name) as parent:
            os.symlink(target, parts[-1], dir_fd=parent.fd)
            if self._owns():
                os.chown(
                    parts[-1],
                    attributes.uid,
                    attributes.gid,
                    dir_fd=parent.fd,
                    follow_symlinks=False,
                )

    def hard_link(self, name: str, target: str) -> None:
        """Give a second name to a file that this archive wrote."""
        source = self._parts(target)
        if self._seen.get(source) != "file":
            self._refuse(name, f"it is a hard link to {target!r}, which is no file before it")
        parts = self._claim(name, "file")
        with (
            storage_errors(self._into),
            self._open(source[:-1], name) as there,
            self._open(parts[:-1], name) as here,
        ):
            there.link(source[-1], here, parts[-1])

    def finish(self) -> None:
        """Give folders their modes, and make sure that every link stays inside, if it must."""
        if not self._limits.ownership:
            root = Path(os.path.realpath(self._into))
            for parts in self._named("link"):
                shown = "/".join(parts)
                if not Path(os.path.realpath(root / shown)).is_relative_to(root):
                    self._refuse(shown, "it is a link to a place outside")
        with storage_errors(self._into):
            for parts in sorted(self._folders, reverse=True):  # the deepest first
                with self._open(parts, "/".join(parts)) as folder:
                    self._dress(folder.fd, self._folders[parts])

    def _named(self, kind: str) -> Iterable[tuple[str, ...]]:
        return (parts for parts, found in self._seen.items() if found == kind)

    def _claim(self, name: str, kind: str) -> tuple[str, ...]:
        parts = self._parts(name)
        if not parts or parts in self._seen:
            self._refuse(name, "it stands twice in the archive")
        self._count(name)
        self._seen[parts] = kind
        return parts

    def _count(self, name: str) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            self._refuse(name, "the archive has more entries than are allowed")

    def _open(self, parts: tuple[str, ...], name: str) -> Folder:
        """Open a folder of the tree, made where it is missing; never through a link."""
        here = self._root if parts else Folder(os.dup(self._root.fd), self._root.path)
        for depth, part in enumerate(parts, start=1):
            if self._seen.setdefault(parts[:depth], "folder") != "folder":
                self._refuse(name, f"{'/'.join(parts[:depth])} above it is no folder")
            self._folders.setdefault(parts[:depth], _IMPLIED)
            inner = here.sub(part, create=True)
            if here is not self._root:
                here.close()
            here = inner
        return here

    def _dress(self, descriptor: int, attributes: Attributes) -> None:
        mode = attributes.mode & (0o7777 if self._limits.ownership else 0o777)
        if self._owns():
            os.fchown(descriptor, attributes.uid, attributes.gid)  # first: it clears set-id bits
        elif not self._limits.ownership:
            mode = (mode | _OWNER) & ~_OTHERS_WRITE
        os.fchmod(descriptor, mode)
        os.utime(descriptor, (attributes.mtime, attributes.mtime))

    def _owns(self) -> bool:
        return self._limits.ownership and os.geteuid() == 0

    def _parts(self, name: str) -> tuple[str, ...]:
        """Return the components of a name; whatever could lead elsewhere is refused."""
        if name.startswith("/") or "\0" in name:
            self._refuse(name, "its name leads outside")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            self._refuse(name, "its name leads outside")
        if len(parts) > self._limits.depth:
            self._refuse(name, "it lies too deep")
        if any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
            self._refuse(name, "its name is too long")
        return parts

    def _refuse(self, name: str, why: str) -> NoReturn:
        message = f"{self._label}: {name!r}: {why}"
        raise IntegrityError(message, hint="the archive is damaged or hostile: it was not used")


_IMPLIED = Attributes(mode=0o755)  # folders that an archive uses and does not mention
