"""The files of an image as a container sees them: layers of an archive or layout, laid over."""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

import zstandard

from builder.adapters.audit.audit_inputs import (
    Inventory,
    Item,
    parse_record,
    recorded_package,
    storage,
    unpack_elf,
)  # fmt: skip
from builder.domain.audit.ownership import PackageRecord, is_nvidia_package
from builder.errors import IntegrityError, UsageError

_ZSTD = b"\x28\xb5\x2f\xfd"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_JSON_LIMIT = 64 << 20
_BROKEN = (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, IndexError, OSError)


class _Blobs(Protocol):
    def open(self, name: str) -> BinaryIO: ...


class _FolderBlobs:
    """An OCI layout as a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> BinaryIO:
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            message = f"{name} leads out of the layout"
            raise ValueError(message)
        return path.open("rb")


class _TarBlobs:
    """What `docker save`, `skopeo` or `buildah` wrote: an OCI layout or docker archive as a tar."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def open(self, name: str) -> BinaryIO:
        member = self._archive.extractfile(name)
        if member is None:
            message = f"{name} is no file"
            raise ValueError(message)
        return cast("BinaryIO", member)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHead:
    """What an image's own documents say: its digest, its layers (lowest first), its ENV.

    `size` is that of the compressed layers and `manifest_size` that of the manifest, in bytes;
    a docker archive has neither, and 0 stands there.
    """

    digest: str
    layers: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    manifest_size: int = 0


@contextmanager
def open_image(path: Path) -> Iterator["ImageFiles"]:
    """Open an OCI layout (folder or tar) or a docker archive; anything else is a UsageError."""
    try:
        if path.is_dir():
            yield ImageFiles(path, _FolderBlobs(path))
        else:
            with tarfile.open(path, "r:") as archive:
                yield ImageFiles(path, _TarBlobs(archive))
    except tarfile.ReadError as error:
        message = f"{path} is no image archive: {error}"
        raise UsageError(message, hint=_HINT) from error


_HINT = "give a wheel, an ELF file, a folder, an OCI layout or archive, or an image's name"


class ImageFiles:
    """One image that lies on disk."""

    def __init__(self, path: Path, blobs: _Blobs) -> None:
        self._path = path
        self._blobs = blobs

    def head(self) -> ImageHead:
        """Read manifest and configuration; what they lack or contradict is a UsageError."""
        try:
            return self._head()
        except _BROKEN as error:
            message = f"{self._path} is no readable image: {error}"
            raise UsageError(message, hint=_HINT) from error

    def _head(self) -> ImageHead:
        try:
            index = self._json("index.json")
        except (KeyError, FileNotFoundError):
            return self._docker_head()
        digest = _choose(index)
        manifest = self._json(_blob(digest))
        while "manifests" in manifest:
            digest = _choose(manifest)
            manifest = self._json(_blob(digest))
        config = self._json(_blob(manifest["config"]["digest"]))
        with self._blobs.open(_blob(digest)) as file:
            manifest_size = len(file.read(_JSON_LIMIT))
        return ImageHead(
            digest=digest,
            layers=tuple(_blob(layer["digest"]) for layer in manifest["layers"]),
            environment=_environment(config),
            labels=_labels(config),
            size=sum(int(layer["size"]) for layer in manifest["layers"]),
            manifest_size=manifest_size,
        )

    def _docker_head(self) -> ImageHead:
        entry = self._json("manifest.json")[0]
        with self._blobs.open(entry["Config"]) as file:
            data = file.read(_JSON_LIMIT)
        config = json.loads(data)
        return ImageHead(
            digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
            layers=tuple(str(layer) for layer in entry["Layers"]),
            environment=_environment(config),
            labels=_labels(config),
        )

    def _json(self, name: str) -> Any:  # noqa: ANN401 - its users fail on what is not there
        with self._blobs.open(name) as file:
            return json.loads(file.read(_JSON_LIMIT))

    def unpack(self, head: ImageHead, into: Path) -> Inventory:
        """Write the ELF files that a container would see into the folder `into`."""
        view = _View(into)
        for name in reversed(head.layers):
            self._layer(name, view)
        items = sorted(view.items, key=lambda item: item.name)
        return Inventory(
            target=str(self._path),
            items=tuple(items),
            records=tuple(view.records),
            environment=head.environment,
        )

    def _layer(self, name: str, view: "_View") -> None:
        with self.layer(name) as layer:
            view.add(layer)

    @contextmanager
    def layer(self, name: str) -> Iterator[tarfile.TarFile]:
        """Open one layer for reading from front to back; at the end its digest is checked."""
        try:
            with self._blobs.open(name) as raw:
                stream = _Hashing(raw)
                with tarfile.open(fileobj=_inflated(stream), mode="r|*") as layer:
                    yield layer
                stream.finish()
        except (*_BROKEN, zstandard.ZstdError) as error:
            message = f"{self._path}: layer {name} cannot be read: {error}"
            raise UsageError(message, hint="pull or save the image again") from error
        expected = PurePosixPath(name).name
        if "sha256" in name and stream.digest != expected:
            message = f"{self._path}: layer {name} holds other bytes, of sha256 {stream.digest}"
            raise IntegrityError(message, hint="save or pull the image again")


def _inflated(stream: "_Hashing") -> BinaryIO:
    """Return the tar of a layer; gzip, bzip2 and xz are told apart by tarfile itself."""
    head = stream.peek(4)
    if head == _ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(cast("BinaryIO", stream))
        return cast("BinaryIO", reader)
    return cast("BinaryIO", stream)


class _Hashing:
    """A stream that hashes what is read from it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        self._ahead = self._raw.read(size)
        return self._ahead

    def read(self, size: int) -> bytes:
        data, self._ahead = self._ahead or self._raw.read(size), b""
        self._hash.update(data)
        return data

    def finish(self) -> None:
        while self.read(1 << 20):
            pass

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


@dataclass
class _View:
    """What is visible so far, from the topmost layer down."""

    into: Path
    items: list[Item] = field(default_factory=list)
    records: list[PackageRecord] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # with all that is below
    opaque: set[str] = field(default_factory=set)  # all that is below, but not the folder itself

    def add(self, layer: tarfile.TarFile) -> None:
        """Take what this layer shows, then hide what it covers in the layers below."""
        hidden: set[str] = set()
        opaque: set[str] = set()
        for member in layer:
            name = PurePosixPath(member.name.lstrip("/")).as_posix().removeprefix("./")
            folder, _, last = name.rpartition("/")
            if ".." in name.split("/"):
                continue
            if last == _OPAQUE:
                opaque.add(folder)
            elif last.startswith(_WHITEOUT):
                hidden.add(f"{folder}/{last[len(_WHITEOUT) :]}".lstrip("/"))
            elif not member.isdir() and self._visible(name):
                hidden.add(name)
                self._take(layer, member, name)
        self.hidden |= hidden
        self.opaque |= opaque

    def _visible(self, name: str) -> bool:
        if name in self.hidden:
            return False
        parents = [str(parent) for parent in PurePosixPath(name).parents]
        return not any(p in self.hidden or p in self.opaque or (p == "." and "" in self.opaque)
                       for p in parents)  # fmt: skip

    def _take(self, layer: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        if not member.isreg():
            return
        source = layer.extractfile(member)
        if source is None:
            return
        package = recorded_package(name)
        if package and is_nvidia_package(package):
            text = source.read(_JSON_LIMIT).decode("utf-8", "replace")
            self.records.append(parse_record(name, package, text))
            return
        path = self.into / f"{len(self.items)}.elf"
        with storage(path):
            if unpack_elf(cast("BinaryIO", source), path):
                self.items.append(Item(name=name, path=path))


def _blob(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if not value.isalnum() or not algorithm.isalnum():
        message = f"{digest!r} is no digest"
        raise ValueError(message)
    return f"blobs/{algorithm}/{value}"


def _choose(index: Mapping[str, list[dict[str, str]]]) -> str:
    """Return the digest of the x86-64 image of an index; attestations have no platform."""
    entries = index["manifests"]
    for entry in entries:
        platform = cast("dict[str, str]", entry.get("platform") or {})
        if platform.get("architecture", "amd64") == "amd64":
            return entry["digest"]
    named = ", ".join(str(entry.get("platform")) for entry in entries)
    message = f"no amd64 image among {named}"
    raise ValueError(message)


def _labels(config: Mapping[str, object]) -> dict[str, str]:
    inner = cast("Mapping[str, dict[str, str]]", config.get("config") or {})
    return dict(inner.get("Labels") or {})


def _environment(config: Mapping[str, object]) -> dict[str, str]:
    inner = cast("Mapping[str, list[str]]", config.get("config") or {})
    pairs = (line.partition("=") for line in inner.get("Env") or [])
    return {name: value for name, _, value in pairs}
