import json

import pytest

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.image_parts import parts, repository
from builder.errors import DataError

OF = Artifact(
    kind=ArtifactKind.IMAGE,
    name="nvidia/cuda",
    version="11.1.1",
    filename="nvidia-cuda",
    sha256="0" * 64,
    size=None,
    channel="registry",
    location="docker.io/nvidia/cuda",
)
CONFIG = {"digest": "sha256:" + "c" * 64, "size": 3}
LAYER = {"digest": "sha256:" + "1" * 64, "size": 10}


def test_a_manifest_names_config_and_layers() -> None:
    manifest = json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}).encode()
    found = parts(manifest, OF)
    assert [(one.kind, one.sha256[0], one.size) for one in found] == [
        (ArtifactKind.LAYER, "c", 3),
        (ArtifactKind.LAYER, "1", 10),
    ]
    assert {(one.channel, one.location) for one in found} == {("registry", "docker.io/nvidia/cuda")}


def test_an_index_names_the_manifest_of_our_platform() -> None:
    rows = [
        {**LAYER, "platform": {"os": "linux", "architecture": "arm64"}},
        {**CONFIG, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    (found,) = parts(json.dumps({"manifests": rows}).encode(), OF)
    assert (found.kind, found.sha256) == (ArtifactKind.IMAGE, "c" * 64)


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="no layers"),
        pytest.param(b'{"manifests": []}', id="an empty index"),
        pytest.param(
            b'{"layers": [], "config": {"digest": "sha256:x", "size": 1}}', id="no digest"
        ),
        pytest.param(b'{"layers": [1], "config": 2}', id="numbers"),
    ],
)
def test_anything_else_is_refused(manifest: bytes) -> None:
    with pytest.raises(DataError, match="nvidia-cuda: "):
        parts(manifest, OF)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("nvidia/cuda:11.1.1", "docker.io/nvidia/cuda"),
        ("docker.io/nvidia/cuda@sha256:ab", "docker.io/nvidia/cuda"),
        ("docker://nvcr.io/nvidia/cuda:11.1.1@sha256:ab", "nvcr.io/nvidia/cuda"),
        ("localhost:5000/cuda:x", "localhost:5000/cuda"),
    ],
)
def test_repository(reference: str, name: str) -> None:
    assert repository(reference) == name
