"""An OCI artefact that refers to an image: a layout that a registry's tools can push.

Manifest, empty configuration and `subject` follow the OCI image specification 1.1, "Guidelines for
artifact usage": who asks a registry for the referrers of the image's digest finds it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from builder.adapters.engines import oci
from builder.adapters.storage.folder import storage_errors

TYPE = "application/vnd.cellar.passport.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write_artifact(
    content: bytes, subject: tuple[str, int], into: Path, annotations: Mapping[str, str]
) -> str:
    """Write `content` as an artefact about the image manifest `subject` (digest, size in bytes).

    Returns the artefact's own digest. The same content gives the same digest.
    """
    digest, size = subject
    with storage_errors(into):
        blobs = into / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        layer = oci.add_blob(blobs, TYPE, content)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": TYPE,
            "config": oci.add_blob(blobs, _EMPTY, b"{}"),
            "layers": [layer],
            "subject": {"mediaType": _MANIFEST, "digest": digest, "size": size},
            "annotations": dict(annotations),
        }
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        made = str(oci.add_blob(blobs, _MANIFEST, text)["digest"])
        oci.write_index(into, made.removeprefix("sha256:"))
    return made
