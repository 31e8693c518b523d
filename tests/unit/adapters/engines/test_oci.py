"""OCI layouts as engines write them: several layers, each compressed as it likes."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from builder.adapters.engines import oci

PACKINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar+gzip": gzip.compress,
    "tar+zstd": zstandard.ZstdCompressor().compress,
}


def layer(**files: str | None) -> bytes:
    """Make a tar of plain files by path (`__` for a slash); None makes a directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.replace("__", "/"))
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or "")
            tar.addfile(entry, io.BytesIO((content or "").encode()))
    return data.getvalue()


def layout(folder: Path, layers: list[bytes], packing: str) -> Path:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return f"sha256:{digest}"

    packed = [PACKINGS[packing](content) for content in layers]
    diff_ids = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers]
    config = {"config": {"User": "1000"}, "rootfs": {"diff_ids": diff_ids}}
    manifest = {
        "config": {"digest": add(json.dumps(config).encode())},
        "layers": [
            {
                "mediaType": f"application/vnd.oci.image.layer.v1.{packing}",
                "digest": add(content),
                "size": len(content),
            }
            for content in packed
        ],
    }
    index = {"manifests": [{"digest": add(json.dumps(manifest).encode())}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text("{}")
    return folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_layers_lie_one_upon_another(packing: str, tmp_path: Path) -> None:
    below = layer(opt=None, opt__a="a", opt__b="b", old=None, old__c="c", gone="g")
    above = layer(**{"opt__a": "A", "opt__.wh.b": "", "old__.wh..wh..opq": "", ".wh.gone": ""})
    made = layout(tmp_path / "x", [below, above], packing)
    files = oci.read_files(made)
    assert {path: facts.kind for path, facts in files.items()} == {
        "opt": "directory",
        "opt/a": "file",
        "old": "directory",
    }
    assert files["opt/a"].content == hashlib.sha256(b"A").hexdigest()
    facts = oci.read_image(made)
    assert facts.diff_ids == tuple(
        f"sha256:{hashlib.sha256(content).hexdigest()}" for content in (below, above)
    )
    assert facts.config == {"User": '"1000"'}


def test_a_context_names_an_oci_layout_by_its_digest(tmp_path: Path) -> None:
    made = layout(tmp_path / "x", [layer(a="a")], "tar")
    assert oci.context_of(made) == f"oci-layout://{made}@{oci.layout_digest(made)}"
    assert oci.context_of(tmp_path) == str(tmp_path)
