"""The first layer of a Debian base: the essential packages' files, before dpkg has run.

dpkg needs a libc, a shell and itself to run. This module takes those files out of the locked
`.deb`s; the Dockerfile's first stage then lets that dpkg install the same packages in earnest, so
that no byte of the image depends on a tool of the host.
"""

import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, cast

from debian.arfile import ArError, ArFile

from builder.adapters.engines.oci import write_single_layer_layout
from builder.errors import IntegrityError

# Debian 12 and later keep these in /usr only; `base-files` of Debian 12 does not ship the links.
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_DIRECTORIES = ("usr", *(f"usr/{name}" for name in _MERGED), "tmp", "var", "var/lib")
_DPKG_DIRECTORIES = ("var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/updates")
_DPKG_FILES = ("var/lib/dpkg/status", "var/lib/dpkg/available")
_STICKY = 0o1777


def write_bootstrap(debs: Iterable[Path], into: Path, *, epoch: int) -> None:
    """Write the files of `debs` as an OCI layout of one layer into the new directory `into`.

    The same packages and `epoch` (seconds) give the same bytes. A file that is no Debian package
    is an IntegrityError.
    """
    into.mkdir(parents=True)
    layer = into / "layer.tar"
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        seen: set[str] = set()
        for member, content in _all_members(sorted(debs), epoch):
            if member.name not in seen:
                seen.add(member.name)
                tar.addfile(member, BytesIO(content) if member.isreg() else None)
    write_single_layer_layout(layer, into, epoch=epoch)


def _all_members(debs: list[Path], epoch: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    yield from _skeleton(epoch)
    for deb in debs:
        for member, content in _members(deb):
            member.mtime = epoch  # no later step can reach what lies under /dev, /proc and /sys
            yield member, content


def _skeleton(epoch: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name in (*_DIRECTORIES, *_DPKG_DIRECTORIES):
        entry = _entry(name, epoch, tarfile.DIRTYPE)
        entry.mode = _STICKY if name == "tmp" else 0o755
        yield entry, b""
    for name in _MERGED:
        link = _entry(name, epoch, tarfile.SYMTYPE)
        link.linkname = f"usr/{name}"
        yield link, b""
    for name in _DPKG_FILES:
        yield _entry(name, epoch, tarfile.REGTYPE), b""


def _entry(name: str, epoch: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mtime = epoch
    return entry


def _members(deb: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    try:
        with deb.open("rb") as file:
            parts = ArFile(fileobj=file).getmembers()
            part = next(part for part in parts if part.name.startswith("data.tar"))
            with tarfile.open(fileobj=cast("IO[bytes]", part)) as data:
                for member in data:
                    if path := _merged(member.name):
                        source = data.extractfile(member) if member.isreg() else None
                        yield _moved(member, path), source.read() if source else b""
    except (ArError, StopIteration, tarfile.TarError, EOFError, OSError) as error:
        message = f"{deb.name}: not a readable Debian package: {error}"
        raise IntegrityError(message, hint="`cellar store verify --repair`") from error


def _moved(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    if member.islnk():
        member.linkname = _merged(member.linkname)
    member.name = path
    member.uname = member.gname = ""
    return member


def _merged(name: str) -> str:
    """Give a package's path as it lies in a merged /usr; the merged directories themselves: ''."""
    parts = PurePosixPath(name.removeprefix("./")).parts
    if not parts or parts in {(top,) for top in _MERGED}:
        return ""
    return str(PurePosixPath(*(("usr", *parts) if parts[0] in _MERGED else parts)))
