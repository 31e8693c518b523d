"""An image unpacked as a folder, in which every program runs under an emulator."""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import BinaryIO, cast

from builder.adapters.audit.audit_inputs import looks_like_elf
from builder.adapters.audit.elf import ElfError, ElfFile
from builder.adapters.audit.image_files import ImageFiles, ImageHead
from builder.errors import UsageError

OWN = ".cellar"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 40


def unpack(image: ImageFiles, head: ImageHead, root: Path) -> None:
    """Lay the layers of an image over each other in the folder `root`, and never outside it."""
    for name in head.layers:
        with image.layer(name) as layer:
            for member in layer:
                _lay(layer, member, root)


def inside(root: Path, name: str) -> Path:
    """Return where a path of the image lies below `root`, with links followed as in a chroot."""
    parts = [part for part in PurePosixPath(name).parts if part != "/"]
    here = root
    links = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            here = here.parent if here != root else root
            continue
        step = here / part
        if step.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                message = f"{name}: links in a circle"
                raise UsageError(message, hint="the image is damaged")
            target = PurePosixPath(step.readlink())
            here = root if target.is_absolute() else here
            parts = [part for part in target.parts if part != "/"] + parts
        else:
            here = step
    return here


def _lay(layer: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = PurePosixPath(member.name)
    if name.name == _OPAQUE:
        folder = inside(root, str(name.parent))
        for child in folder.iterdir() if folder.is_dir() else ():
            _remove(child)
        return
    folder = inside(root, str(name.parent))
    if name.name.startswith(_WHITEOUT):
        _remove(folder / name.name.removeprefix(_WHITEOUT))
        return
    if name.name in ("", "..") or not (
        member.isreg() or member.isdir() or member.issym() or member.islnk()
    ):
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(layer, member, folder / name.name, root)


def _write(layer: tarfile.TarFile, member: tarfile.TarInfo, path: Path, root: Path) -> None:
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
        path.chmod(member.mode & 0o1777 | 0o700)
        return
    _remove(path)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        path.hardlink_to(inside(root, member.linkname))
    else:
        source = layer.extractfile(member)
        with path.open("wb") as out:
            shutil.copyfileobj(cast("BinaryIO", source), out, 1 << 20)
        path.chmod(member.mode & 0o777 | 0o600)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def emulate(root: Path, emulator: Path, model: str) -> int:
    """Put a script before every program of `root` that runs it under `emulator`; return how many.

    The kernel, not the emulator, carries out execve: so the children of an emulated program would
    run natively, but for these scripts. A program stays in its folder under another name, so that
    it finds its libraries. The shell that runs the scripts is a copy, and runs natively.
    """
    own = root / OWN
    (own / "run").mkdir(parents=True, exist_ok=True)
    shell = inside(root, "/bin/sh")
    if not looks_like_elf(shell):
        message = f"{root}: the image has no /bin/sh"
        raise UsageError(message, hint="an image without a shell cannot be run under qemu here")
    shutil.copy(shell, own / "sh")
    shutil.copy(emulator, own / "qemu")
    count = 0
    for folder, names, files in os.walk(root):
        if Path(folder) == root:
            names[:] = [name for name in names if name not in (OWN, "proc", "sys", "dev")]
        for file in files:
            path = Path(folder) / file
            if not path.is_symlink() and path.is_file() and _is_program(path):
                _wrap(root, path, model)
                count += 1
    return count


def _is_program(path: Path) -> bool:
    if not path.stat().st_mode & 0o111 or not looks_like_elf(path):
        return False
    try:
        with ElfFile(path) as elf:
            if (elf.head.bits, elf.head.machine) != (64, "x86-64"):
                return False
            return elf.head.kind == "ET_EXEC" or elf.section(".interp") is not None
    except ElfError:
        return False


def _wrap(root: Path, path: Path, model: str) -> None:
    if path.name.endswith((".so", ".so.6", ".so.2")) or ".so." in path.name:
        return  # libc.so.6 can be run too, but it is loaded
    mode = path.stat().st_mode
    real = path.with_name(f"{OWN}-{path.name}")
    path.rename(real)
    inner = "/" + real.relative_to(root).as_posix()
    line = f'exec /{OWN}/qemu -cpu {quote(model)} -0 "$0" {quote(inner)} "$@"'
    path.write_text(f"#!/{OWN}/sh\n{line}\n")
    path.chmod(mode & 0o777 | 0o500)
