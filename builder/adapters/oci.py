"""OCI image layouts on disk: write small ones, and read what an engine has written."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20


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
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [_add_json(blobs, _MANIFEST, manifest)],
    }
    (into / "index.json").write_bytes(_dump(index))
    (into / "oci-layout").write_bytes(_dump({"imageLayoutVersion": "1.0.0"}))


def layout_digest(layout: Path) -> str:
    """Give the manifest digest of the only image of `layout`."""
    index = json.loads((layout / "index.json").read_bytes())
    return str(index["manifests"][0]["digest"])


def _add_json(blobs: Path, media_type: str, value: Mapping[str, object]) -> dict[str, object]:
    content = _dump(value)
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
    if (path / "oci-layout").is_file():
        return f"oci-layout://{path}@{layout_digest(path)}"
    return str(path)
