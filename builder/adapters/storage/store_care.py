"""Verifying, measuring and cleaning a store."""

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator

from builder.adapters.storage.folder import Folder, storage_errors
from builder.adapters.storage.hashing import OBJECT_MODE, sha256_of
from builder.adapters.storage.locks_fs import GC_LOCK, locked, try_lock
from builder.adapters.storage.store import SHA256, Store
from builder.domain.store import Fault, Finding, Usage

_DAY_S = 86_400.0
_BLOCK = 512  # the unit of st_blocks, whatever the file system's own is (POSIX)


class HostStoreCare:
    """Looks after one store."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._folders = store.folders

    def digests(self) -> list[str]:
        """Return the digests that the store holds, sorted."""
        with storage_errors(self._store.root):
            return [
                name
                for shard, name in self._objects()
                if SHA256.fullmatch(name) and name.startswith(shard)
            ]

    def check(self, sha256: str) -> Finding | None:
        """Hash what stands under this digest; return what is wrong with it."""
        name = _object(sha256)
        with self._store.shard(sha256) as shard:
            found = shard.stat(sha256)
            if found is None:
                return Finding(fault=Fault.MISSING, name=name, detail="it vanished")
            if not stat.S_ISREG(found.st_mode):
                return Finding(fault=Fault.FOREIGN, name=name, detail=_what(found))
            mode = stat.S_IMODE(found.st_mode)
            try:
                with shard.read(sha256) as file:
                    got = sha256_of(file)
            except PermissionError:
                got = sha256
            except OSError as error:
                detail = f"it cannot be read: {error.strerror}"
                return Finding(fault=Fault.CORRUPT, name=name, detail=detail)
        if got != sha256:
            detail = f"expected sha256 {sha256}, got {got} ({found.st_size} bytes)"
            return Finding(fault=Fault.CORRUPT, name=name, detail=detail)
        if mode != OBJECT_MODE:
            detail = f"its mode is {mode:04o} and should be {OBJECT_MODE:04o}"
            return Finding(fault=Fault.MODE, name=name, detail=detail)
        return None

    def check_rest(self) -> list[Finding]:
        """Return faults of op wheels, inputs that vanished, and things that never belonged."""
        with storage_errors(self._store.root):
            return [*self._foreign(), *self._op_faults(), *self._vanished()]

    def complete(self, name: str) -> list[str]:
        """Return the digests that were noted for the lock `name`, or none."""
        try:
            with self._folders["complete"].read(name) as file:
                lines = file.read().decode(errors="replace").split()
        except FileNotFoundError:
            return []
        return [line for line in lines if SHA256.fullmatch(line)]

    def mend(self, finding: Finding) -> None:
        """Set damaged or foreign things aside, or restore their mode."""
        folder, _, name = finding.name.rpartition("/")
        with storage_errors(self._store.root):
            if finding.fault is Fault.MISSING:
                return
            place = self._open(folder)
            try:
                if finding.fault is Fault.MODE:
                    _restore_mode(place, name)
                else:
                    aside = f"{name[:16]}-{int(self._clock())}-{os.urandom(4).hex()}"
                    place.move(name, self._folders["quarantine"], aside)
            finally:
                if place is not self._folders.get(folder):
                    place.close()

    def usage(self) -> list[Usage]:
        """Return the space taken by each kind of thing."""
        with storage_errors(self._store.root):
            return [
                Usage(kind=kind, count=count, size=size)
                for kind in ("objects", "ops", "partial", "quarantine", "tmp")
                for count, size in [_measure(self._folders[kind])]
            ]

    def collect(
        self, live: Collection[str], *, idle_days: float, dry_run: bool = False
    ) -> list[Usage]:
        """Remove objects neither `live` nor leased, and leftovers; return what went.

        Op wheels and set-aside bytes go when nobody used them for `idle_days`.
        """
        with (
            storage_errors(self._store.root),
            locked(self._folders["locks"], GC_LOCK),
        ):
            keep = set(live) | self._leased()
            before = self._clock() - idle_days * _DAY_S
            sweep = _Sweep(dry_run=dry_run)
            for shard, name in list(self._objects()):
                if SHA256.fullmatch(name) and name not in keep:
                    with self._folders["objects"].sub(shard) as folder:
                        sweep.file("objects", folder, name)
            for name in self._folders["ops"].names():
                if name not in keep:
                    sweep.idle("ops", self._folders["ops"], name, before)
            for name in self._folders["quarantine"].names():
                sweep.idle("quarantine", self._folders["quarantine"], name, before)
            self._sweep_unowned(sweep, keep)
            if not dry_run:
                self._forget_incomplete()
            return sweep.usage()

    def _sweep_unowned(self, sweep: "_Sweep", keep: Collection[str]) -> None:
        """Remove what dead processes left in partial/ and tmp/."""
        partial, tmp = self._folders["partial"], self._folders["tmp"]
        names = set(partial.names())
        for name in sorted(names):
            note = f"{name}.from"
            if name.endswith(".from"):
                if name.removesuffix(".from") not in names:
                    sweep.file("partial", partial, name)
            elif name not in keep or _stored(self._store, name):
                sweep.unlocked("partial", partial, name, *({note} & names))
        for name in tmp.names():
            found = tmp.stat(name)
            if found is not None and stat.S_ISDIR(found.st_mode):
                sweep.tree("tmp", tmp, name)  # made under the lock that we hold: its maker is dead
            else:
                sweep.unlocked("tmp", tmp, name)

    def _leased(self) -> set[str]:
        """Return what living processes leased; leases of the dead are removed."""
        leases, held = self._folders["leases"], set[str]()
        for name in leases.names():
            with leases.keep(name) as file:
                if try_lock(file):
                    leases.remove(name)
                else:
                    held.update(file.read().decode().split())
        return held

    def _forget_incomplete(self) -> None:
        """Drop the records of locks whose inputs were just collected."""
        folder = self._folders["complete"]
        for name in folder.names():
            if any(self._store.size(digest) is None for digest in self.complete(name)):
                folder.remove(name)

    def _vanished(self) -> Iterator[Finding]:
        seen = set[str]()
        for name in self._folders["complete"].names():
            for sha256 in self.complete(name):
                if sha256 not in seen and self._store.size(sha256) is None:
                    detail = f"{name} was fetched with it"
                    yield Finding(fault=Fault.MISSING, name=_object(sha256), detail=detail)
                seen.add(sha256)

    def _foreign(self) -> Iterator[Finding]:
        objects = self._folders["objects"]
        for shard in objects.names():
            found = objects.stat(shard)
            if found is None or not stat.S_ISDIR(found.st_mode):
                detail = _what(found) if found else "it vanished"
                yield Finding(fault=Fault.FOREIGN, name=f"objects/{shard}", detail=detail)
        for shard, name in self._objects():
            if not SHA256.fullmatch(name) or not name.startswith(shard):
                detail = "no object of a store has such a name"
                yield Finding(fault=Fault.FOREIGN, name=f"objects/{shard}/{name}", detail=detail)

    def _op_faults(self) -> Iterator[Finding]:
        for key in self._folders["ops"].names():
            detail = self._store.ops.fault(key)
            if detail:
                yield Finding(fault=Fault.CORRUPT, name=f"ops/{key}", detail=detail)

    def _objects(self) -> Iterator[tuple[str, str]]:
        objects = self._folders["objects"]
        for shard in objects.names():
            found = objects.stat(shard)
            if found is not None and stat.S_ISDIR(found.st_mode):
                with objects.sub(shard) as folder:
                    yield from ((shard, name) for name in folder.names())

    def _open(self, path: str) -> Folder:
        top, _, shard = path.partition("/")
        return self._folders[top].sub(shard) if shard else self._folders[top]


class _Sweep:
    """What a collection removes, or would."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._went: dict[str, tuple[int, int]] = {}

    def usage(self) -> list[Usage]:
        return [
            Usage(kind=kind, count=count, size=size)
            for kind, (count, size) in sorted(self._went.items())
        ]

    def file(self, kind: str, folder: Folder, name: str) -> None:
        found = folder.stat(name)
        self._count(kind, found.st_blocks * _BLOCK if found else 0)
        if not self._dry_run:
            folder.remove(name)

    def tree(self, kind: str, folder: Folder, name: str) -> None:
        with folder.sub(name) as inner:
            _, size = _measure(inner)
        self._count(kind, size)
        if not self._dry_run:
            folder.remove_tree(name)

    def idle(self, kind: str, folder: Folder, name: str, before: float) -> None:
        found = folder.stat(name)
        if found is None or max(found.st_mtime, found.st_ctime) > before:
            return
        remove = self.tree if stat.S_ISDIR(found.st_mode) else self.file
        remove(kind, folder, name)

    def unlocked(self, kind: str, folder: Folder, name: str, *notes: str) -> None:
        found = folder.stat(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            self.file(kind, folder, name)
            return
        with folder.keep(name) as file:
            if try_lock(file):
                for one in (*notes, name):
                    self.file(kind, folder, one)

    def _count(self, kind: str, size: int) -> None:
        count, sum_of_sizes = self._went.get(kind, (0, 0))
        self._went[kind] = (count + 1, sum_of_sizes + size)


def _measure(folder: Folder) -> tuple[int, int]:
    """Return the number of plain files below `folder` and their bytes on disk."""
    count = size = 0
    for name in folder.names():
        found = folder.stat(name)
        if found is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            with folder.sub(name) as inner:
                more, bigger = _measure(inner)
            count, size = count + more, size + bigger
        else:
            count, size = count + 1, size + found.st_blocks * _BLOCK
    return count, size


def _stored(store: Store, name: str) -> bool:
    return bool(SHA256.fullmatch(name)) and store.size(name) is not None


def _restore_mode(folder: Folder, name: str) -> None:
    # A descriptor that is only a path needs no right to read, and follows no link.
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        if stat.S_ISREG(os.fstat(opened).st_mode):
            os.chmod(f"/proc/self/fd/{opened}", OBJECT_MODE)  # noqa: PTH101 - not a path to follow
    finally:
        os.close(opened)


def _object(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _what(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "a link stands there"
    return "a folder stands there" if stat.S_ISDIR(found.st_mode) else "a special file stands there"
