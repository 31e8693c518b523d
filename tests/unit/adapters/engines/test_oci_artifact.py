"""The artefact about an image: by the OCI specification, and the same for the same content."""

import hashlib
import json
from pathlib import Path

from builder.adapters.engines.oci_artifact import TYPE, write_artifact

SUBJECT = ("sha256:" + "a" * 64, 1234)


def blob(layout: Path, digest: str) -> bytes:
    data = (layout / "blobs" / Path(*digest.split(":"))).read_bytes()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


def test_it_refers_to_its_subject(tmp_path: Path) -> None:
    made = write_artifact(b'{"a":1}', SUBJECT, tmp_path, {"cellar.cell": "cpu"})
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [made]
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    manifest = json.loads(blob(tmp_path, made))
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["artifactType"] == TYPE
    assert manifest["subject"] == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": SUBJECT[0],
        "size": SUBJECT[1],
    }
    assert manifest["annotations"] == {"cellar.cell": "cpu"}
    config, (layer,) = manifest["config"], manifest["layers"]
    assert (config["mediaType"], config["size"]) == ("application/vnd.oci.empty.v1+json", 2)
    assert blob(tmp_path, config["digest"]) == b"{}"
    assert (layer["mediaType"], layer["size"]) == (TYPE, 7)
    assert blob(tmp_path, layer["digest"]) == b'{"a":1}'


def test_the_same_content_gives_the_same_digest(tmp_path: Path) -> None:
    digests = {write_artifact(b"{}", SUBJECT, tmp_path / name, {}) for name in ("a", "b", "a")}
    assert len(digests) == 1
    assert write_artifact(b"{ }", SUBJECT, tmp_path / "c", {}) not in digests
