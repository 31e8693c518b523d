"""What an image manifest names: the further bytes that make the image, each by its sha256."""

import json
from collections.abc import Iterator, Mapping

from builder.domain.artifact import Artifact, ArtifactKind
from builder.errors import DataError

_DEFAULT_REGISTRY = "docker.io"
_PLATFORM = ("linux", "amd64")


def parts(manifest: bytes, of: Artifact) -> tuple[Artifact, ...]:
    """Return config and layers of a manifest, or the linux/amd64 manifest of an index.

    A manifest that names none, or is no JSON, is a DataError. (OCI image specification 1.1,
    sections manifest and image-index; Docker's schema 2 has the same fields.)
    """
    try:
        document = json.loads(manifest)
        found = tuple(_children(document, of))
    except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        found = ()
        reason: Exception | str = error
    else:
        reason = "it names nothing for linux/amd64"
    if not found:
        message = f"{of.filename}: not an image manifest: {reason}"
        raise DataError(message, hint="the lock's base digest must be that of a manifest")
    return found


def repository(reference: str) -> str:
    """Return host and path of an image reference, without tag and digest.

    `nvidia/cuda:11.1.1` and `docker.io/nvidia/cuda@sha256:...` are the same repository.
    """
    name = reference.removeprefix("docker://").partition("@")[0]
    host, slash, path = name.partition("/")
    if not slash or ("." not in host and ":" not in host and host != "localhost"):
        host, path = _DEFAULT_REGISTRY, name
    return f"{host}/{path.partition(':')[0]}"


def _children(document: Mapping[str, object], of: Artifact) -> Iterator[Artifact]:
    manifests = document.get("manifests")
    if isinstance(manifests, list):
        for row in manifests:
            platform = row.get("platform", {})
            if (platform.get("os"), platform.get("architecture")) == _PLATFORM:
                yield _part(row, of, ArtifactKind.IMAGE)
        return
    layers = document["layers"]
    if isinstance(layers, list):
        for row in (document["config"], *layers):
            yield _part(row, of, ArtifactKind.LAYER)


def _part(row: Mapping[str, object], of: Artifact, kind: ArtifactKind) -> Artifact:
    digest = str(row["digest"]).removeprefix("sha256:")
    return Artifact(
        kind=kind,
        name=of.name,
        version=of.version,
        filename=f"{of.name.replace('/', '-')}-{digest[:12]}",
        sha256=digest,
        size=int(str(row["size"])),
        channel=of.channel,
        location=of.location,
    )
