"""An image as plain files, for a machine that has a GPU and no container engine.

A bundle is a folder: `layout/` holds the image's index, manifest and settings, `files.json` what
each of its files must be, and `rootfs/` the files. Its digest is the image's, and `faults` says
whether the files are the image's too.

usage: python -m tests.image.bundle check BUNDLE
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from testinfra.backend.base import BaseBackend, CommandResult

from builder.adapters import process
from builder.adapters.engines import oci
from builder.domain.comparison import FileFacts
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.domain.progress import Progress
from builder.errors import EngineError

_ENTER = Path(__file__).with_name("enter")
_DRIVER = "/run/driver"  # where the libraries of the host's NVIDIA driver appear in the image
_FILES = "files.json"


@dataclass(frozen=True)
class Bundle:
    """The engine of one bundle; `driver` is the host's folder of its NVIDIA driver's libraries."""

    folder: Path
    driver: Path | None = None
    name: str = "bundle"

    def version(self) -> str:
        """Return what starts programs here."""
        return process.run(["unshare", "--version"]).strip() + ", chroot, overlayfs"

    def find(self, tag: str) -> ImageRef | None:
        """Return the bundle's image, whatever it is called."""
        return ImageRef(tag=tag, digest=oci.layout_digest(self.folder / "layout"))

    def run(self, image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
        """Run `argv` as the image's settings say, and return its stdout."""
        command = self.command(argv, options)
        try:
            return process.run(command)
        except process.ToolError as error:
            message = f"{shlex.join(argv)} ended with exit code {error.code} in {image.tag}:\n"
            raise EngineError(
                message + error.tail, hint=f"by hand: {shlex.join(command)}"
            ) from error

    def command(self, argv: Sequence[str], options: RunOptions) -> list[str]:
        """Return the command that runs `argv` inside."""
        config = oci.read_image(self.folder / "layout").config
        settings: list[str] = json.loads(config["Env"])
        words = [str(_ENTER), str(self.folder / "rootfs"), "yes" if options.read_only else "no"]
        words += [f"user:{options.user or json.loads(config['User'])}"]
        words += [f"tmpfs:{place}" for place in options.tmpfs]
        for path, place in options.mounts.items():
            words += [f"bind:{path}:{place}:{'rw' if place in options.writable else 'ro'}"]
        if self.driver:
            words += [f"bind:{self.driver}:{_DRIVER}:ro"]
            settings = [*settings, f"LD_LIBRARY_PATH={_DRIVER}"]
        where = json.loads(config["WorkingDir"])
        return [*words, "--", "/usr/bin/env", "-i", "-C", where, *settings, *argv]

    def save(self, image: ImageRef, *, into: Path) -> None:
        """Copy the layout, which lacks the layers."""
        assert image.digest == oci.layout_digest(self.folder / "layout")
        shutil.copytree(self.folder / "layout", into)

    def build_image(self, request: BuildRequest, *, tag: str, progress: Progress) -> ImageRef:
        """Refuse: a bundle is built elsewhere."""
        raise NotImplementedError

    def build_files(self, request: BuildRequest, *, into: Path, progress: Progress) -> None:
        """Refuse: a bundle is built elsewhere."""
        raise NotImplementedError

    def remove(self, tag: str) -> None:
        """Refuse: whoever laid out the bundle removes it."""
        raise NotImplementedError


class BundleBackend(BaseBackend):  # type: ignore[misc]
    """A bundle as testinfra sees it: every command in a fresh container, as root."""

    NAME = "bundle"

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        super().__init__(str(bundle.folder))

    def run(self, command: str, *args: str, **_: object) -> CommandResult:
        line = self.get_command(command, *args)
        argv = self._bundle.command(["/bin/sh", "-c", line], RunOptions(user="0:0"))
        return self.run_local(" ".join(["%s"] * len(argv)), *argv)


def describe(layout: Path, folder: Path) -> Mapping[str, FileFacts]:
    """Begin the bundle of an image in `folder`, and return what its files must be."""
    files = oci.read_files(layout)
    shutil.copytree(layout, folder / "layout", ignore=_layers_of(layout))
    rows = {path: asdict(facts) for path, facts in files.items()}
    (folder / _FILES).write_text(json.dumps(rows, sort_keys=True))
    return files


def files_of(folder: Path) -> Mapping[str, FileFacts]:
    """Return what the files of a bundle must be."""
    rows = json.loads((folder / _FILES).read_text())
    return {path: FileFacts(**row) for path, row in rows.items()}


def lay(files: Mapping[str, FileFacts], contents: Mapping[str, Path], root: Path) -> None:
    """Lay out `files` below the new folder `root`, their contents from `contents` by sha256."""
    root.mkdir()
    for path, facts in sorted(files.items()):
        if facts.kind == "directory":
            (root / path).mkdir(exist_ok=True)
        elif facts.kind == "link":
            (root / path).symlink_to(facts.content)
    with ThreadPoolExecutor() as pool:
        plain = [(path, facts) for path, facts in files.items() if facts.kind == "file"]
        list(pool.map(lambda row: shutil.copyfile(contents[row[1].content], root / row[0]), plain))
    for path, facts in sorted(files.items(), reverse=True):  # a folder's time comes after its files
        place = root / path
        os.chown(place, *map(int, facts.owner.split(":")), follow_symlinks=False)
        if facts.kind != "link":
            place.chmod(facts.mode)
        os.utime(place, (facts.mtime, facts.mtime), follow_symlinks=False)


def faults(files: Mapping[str, FileFacts], root: Path) -> Iterator[str]:
    """Yield in words whatever `root` has otherwise than `files` say, byte for byte."""
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    yield from (f"{path} is missing" for path in sorted(files.keys() - found.keys()))
    yield from (f"{path} is not the image's" for path in sorted(found.keys() - files.keys()))
    with ThreadPoolExecutor() as pool:
        both = sorted(files.keys() & found.keys())
        for path, seen in zip(both, pool.map(lambda path: _facts(found[path]), both), strict=True):
            if seen != files[path]:
                yield f"{path} is {seen}, not {files[path]}"


def _facts(path: Path) -> FileFacts:
    row = path.lstat()
    if path.is_symlink():
        kind, content = "link", str(path.readlink())
    elif path.is_dir():
        kind, content = "directory", ""
    else:
        with path.open("rb") as file:
            kind, content = "file", hashlib.file_digest(file, "sha256").hexdigest()
    mode, owner = row.st_mode & 0o7777, f"{row.st_uid}:{row.st_gid}"
    return FileFacts(kind=kind, mode=mode, owner=owner, mtime=int(row.st_mtime), content=content)


def _layers_of(layout: Path) -> Callable[[str, list[str]], Iterable[str]]:
    layers = {digest.rpartition(":")[2] for digest in oci.read_image(layout).layers}
    return lambda _, names: layers & set(names)


if __name__ == "__main__":
    BUNDLE = Path(sys.argv[2])
    FOUND = list(faults(files_of(BUNDLE), BUNDLE / "rootfs"))
    WORDS = "\n".join(FOUND) or f"{len(files_of(BUNDLE))} files, all as the image has them"
    sys.stdout.write(f"{WORDS}\n")
    raise SystemExit(bool(FOUND))
