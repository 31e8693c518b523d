"""Source trees on a public git host, as the archive that it makes of one commit."""

from hashlib import sha256

import httpx

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import SourceDefinition
from builder.errors import NetworkError

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds


def read(name: str, version: str, source: SourceDefinition) -> Artifact:
    """Bring the archive of a commit once, for its sha256 and size; NetworkError if it cannot."""
    location = f"{source.url}/archive/{source.commit}.tar.gz"
    digest, size = sha256(), 0
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", location) as answer,
        ):
            for chunk in answer.raise_for_status().iter_raw():
                digest.update(chunk)
                size += len(chunk)
    except httpx.HTTPError as error:
        message = f"{httpx.URL(source.url).host} did not serve its archive"
        raise NetworkError(message, hint="lock where it can be reached") from error
    return Artifact(
        kind=ArtifactKind.SOURCE,
        name=name,
        version=version,
        filename=f"{name}-{source.commit}.tar.gz",
        sha256=digest.hexdigest(),
        size=size,
        channel="git",
        location=location,
    )
