"""What is to be audited, as ELF files on disk: a file, a folder, a wheel or an image."""

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from builder.adapters.audit.elf import MAGIC
from builder.domain.audit.ownership import PackageRecord, is_nvidia_package
from builder.errors import StorageError, UsageError

_SMALLEST = 64  # bytes of an ELF header
_PSEUDO = {"proc", "sys", "dev", "run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One ELF file: where it lies in the target, and where its bytes are."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The ELF files of a target, who owns what, and the environment that an image sets."""

    target: str
    items: tuple[Item, ...]
    records: tuple[PackageRecord, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def looks_like_elf(path: Path) -> bool:
    """Say whether a plain file begins as an ELF file does."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def read_folder(folder: Path) -> Inventory:
    """Find the ELF files below a folder, each once, following no link."""
    items: list[Item] = []
    records: list[PackageRecord] = []
    seen: set[tuple[int, int]] = set()
    for where, names, files in os.walk(folder):
        base = Path(where)
        if base == folder and {"proc", "etc", "usr"} <= set(names):  # a root file system
            names[:] = [name for name in names if name not in _PSEUDO]
        names.sort()
        for name in sorted(files):
            path = base / name
            relative = path.relative_to(folder).as_posix()
            records += package_record(relative, path)
            if not path.is_symlink() and path.is_file() and looks_like_elf(path):
                found = path.stat()
                if (found.st_dev, found.st_ino) not in seen and found.st_size >= _SMALLEST:
                    seen.add((found.st_dev, found.st_ino))
                    items.append(Item(name=relative, path=path))
    return Inventory(target=str(folder), items=tuple(items), records=tuple(records))


def package_record(relative: str, path: Path) -> Iterator[PackageRecord]:
    """Yield what one file of a package database says, where it speaks of NVIDIA's files."""
    package = recorded_package(relative)
    if package and is_nvidia_package(package):
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            return
        yield parse_record(relative, package, text)


def recorded_package(relative: str) -> str:
    """Return whose file list this path is: pip's RECORD or dpkg's .list, nothing for others."""
    parts = relative.split("/")
    if parts[-1] == "RECORD" and len(parts) > 1 and parts[-2].endswith(".dist-info"):
        return parts[-2].removesuffix(".dist-info").split("-")[0]
    if "/".join(parts[:-1]).endswith("var/lib/dpkg/info") and parts[-1].endswith(".list"):
        return parts[-1].removesuffix(".list").split(":")[0]
    return ""


def parse_record(relative: str, package: str, text: str) -> PackageRecord:
    """Read a RECORD (paths beside its dist-info folder) or a dpkg list (absolute paths)."""
    if relative.endswith("/RECORD"):
        base = "/".join(relative.split("/")[:-2])
        lines = (line.rsplit(",", 2)[0].strip('"') for line in text.splitlines() if line)
        files = frozenset(f"{base}/{line}".lstrip("/") for line in lines)
    else:
        files = frozenset(line.lstrip("/") for line in text.splitlines() if line)
    return PackageRecord(package=package, files=files)


def read_wheel(wheel: Path, into: Path) -> Inventory:
    """Unpack the ELF files of a wheel into the folder `into`."""
    items: list[Item] = []
    records: list[PackageRecord] = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for number, info in enumerate(archive.infolist()):
                package = recorded_package(info.filename)
                if package and is_nvidia_package(package):
                    text = archive.read(info).decode("utf-8", "replace")
                    records.append(parse_record(info.filename, package, text))
                elif not info.is_dir() and info.file_size >= _SMALLEST:
                    with archive.open(info) as member:
                        path = into / f"{number}.elf"
                        if unpack_elf(cast("BinaryIO", member), path):
                            items.append(Item(name=info.filename, path=path))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ValueError, RuntimeError,
            NotImplementedError, zlib.error) as error:  # fmt: skip
        message = f"{wheel} is no readable wheel: {error}"
        raise UsageError(message, hint="download it again") from error
    return Inventory(target=wheel.name, items=tuple(items), records=tuple(records))


def unpack_elf(member: BinaryIO, path: Path) -> bool:
    """Write `member` to `path` if it is an ELF file, and say whether it is."""
    head = member.read(4)
    if head != MAGIC:
        return False
    with storage(path), path.open("wb") as out:
        out.write(head)
        shutil.copyfileobj(member, out, 1 << 20)
    return True


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a StorageError with the remedy."""
    try:
        yield
    except OSError as error:
        message = f"{path.parent}: {error.strerror or error}"
        hint = "set TMPDIR to a folder with room for the image's libraries"
        raise StorageError(message, hint=hint) from error
