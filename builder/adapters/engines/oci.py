"""OCI image layouts on disk: write small ones, and read what an engine has written."""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from builder.domain.comparison import FileFacts, ImageFacts

MARK = "oci-layout"  # the file that makes a directory a layout; written last

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20
_PERMISSIONS = 0o7777
_WINDOWS_ONLY = "ArgsEscaped"  # which Docker writes, and which says nothing on Linux
_WHITEOUT = ".wh."  # how a layer hides what lies below it
_OPAQUE = ".wh..wh..opq"


def write_single_layer_layout(layer: Path, into: Path, *, epoch: int) -> None:
    """Make `into` an OCI layout of one image with the uncompressed tar `layer`, which is moved in.

    `epoch` (seconds) is the image's creation time.
    """
    blobs = into / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    digest, size = _digest(layer), layer.stat().st_size
    layer.rename(blobs / digest)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": _rfc3339(epoch),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _add_json(blobs, _CONFIG, config),
        "layers": [{"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}],
    }
    write_index(into, str(_add_json(blobs, _MANIFEST, manifest)["digest"]).removeprefix("sha256:"))


def write_index(into: Path, manifest: str) -> None:
    """Make `into`, which holds blobs, a layout of the image whose manifest has this sha256."""
    path = into / "blobs" / "sha256" / manifest
    media_type = json.loads(path.read_bytes()).get("mediaType", _MANIFEST)
    descriptor = {
        "mediaType": media_type,
        "digest": f"sha256:{manifest}",
        "size": path.stat().st_size,
    }
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [descriptor]}
    (into / "index.json").write_bytes(_dump(index))
    (into / MARK).write_bytes(_dump({"imageLayoutVersion": "1.0.0"}))


def layout_digest(layout: Path) -> str:
    """Give the manifest digest of the only image of `layout`."""
    index = json.loads((layout / "index.json").read_bytes())
    return str(index["manifests"][0]["digest"])


def _add_json(blobs: Path, media_type: str, value: Mapping[str, object]) -> dict[str, object]:
    return add_blob(blobs, media_type, _dump(value))


def add_blob(blobs: Path, media_type: str, content: bytes) -> dict[str, object]:
    """Write one blob of a layout, and return its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _dump(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rfc3339(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def context_of(path: Path) -> str:
    """Write a directory as the value of `--build-context`: plain, or as an OCI layout."""
    if (path / MARK).is_file():
        return f"oci-layout://{path}@{layout_digest(path)}"
    return str(path)


def read_image(layout: Path) -> ImageFacts:
    """Read what the only image of `layout` is made of."""
    digest = layout_digest(layout)
    manifest = _blob_json(layout, digest)
    config = _blob_json(layout, manifest["config"]["digest"])
    return ImageFacts(
        digest=digest,
        layers=tuple(layer["digest"] for layer in manifest["layers"]),
        sizes=tuple(layer["size"] for layer in manifest["layers"]),
        diff_ids=tuple(config["rootfs"]["diff_ids"]),
        config={
            name: json.dumps(value, sort_keys=True)
            for name, value in sorted(config["config"].items())
            if name != _WINDOWS_ONLY
        },
        annotations=manifest.get("annotations", {}),
    )


def read_files(layout: Path) -> Mapping[str, FileFacts]:
    """Read every file of the only image of `layout`, as its layers give them one upon another."""
    manifest = _blob_json(layout, layout_digest(layout))
    files: dict[str, FileFacts] = {}
    for layer in manifest["layers"]:
        with _unpacked(layout, layer) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                _lay_over(files, member, tar)
    return files


def _lay_over(files: dict[str, FileFacts], member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    path = member.name.removeprefix("./").rstrip("/")
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        _remove_below(files, folder)
    elif name.startswith(_WHITEOUT):
        hidden = f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
        files.pop(hidden, None)
        _remove_below(files, hidden)
    elif member.islnk():
        files[path] = files[member.linkname.removeprefix("./")]
    else:
        files[path] = _facts(member, tar)


def _remove_below(files: dict[str, FileFacts], folder: str) -> None:
    for path in [path for path in files if path.startswith(f"{folder}/")]:
        del files[path]


def _facts(member: tarfile.TarInfo, tar: tarfile.TarFile) -> FileFacts:
    content, kind = "", "device"
    if member.isreg():
        source = tar.extractfile(member)
        digest = hashlib.sha256()
        while chunk := source.read(_CHUNK) if source else b"":
            digest.update(chunk)
        content, kind = digest.hexdigest(), "file"
    elif member.issym():
        content, kind = member.linkname, "link"
    elif member.isdir():
        kind = "directory"
    return FileFacts(
        kind=kind,
        mode=member.mode & _PERMISSIONS,  # some engines add the kind of file
        owner=f"{member.uid}:{member.gid}",
        mtime=int(member.mtime),
        content=content,
    )


@contextmanager
def _unpacked(layout: Path, layer: Mapping[str, str]) -> Iterator[IO[bytes]]:
    with _blob(layout, layer["digest"]).open("rb") as file:
        if layer["mediaType"].endswith("zstd"):
            yield zstandard.ZstdDecompressor().stream_reader(file)
        elif layer["mediaType"].endswith("gzip"):
            with gzip.open(file) as unzipped:
                yield cast("IO[bytes]", unzipped)
        else:
            yield file


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / Path(*digest.split(":"))


def _blob_json(layout: Path, digest: str) -> Any:  # noqa: ANN401 - JSON of the OCI specification
    return json.loads(_blob(layout, digest).read_bytes())
