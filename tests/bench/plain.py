"""The image that one gets without Cellar: one stage, packages by name, whatever is newest today.

The steps are the RUN lines of such a Dockerfile. They run with `docker run` and `docker commit`
because a RUN cannot see this host's local package indexes, which a bind mount can.
"""

import json
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from builder.adapters.locking.host_pip import HostPip
from builder.adapters.process import run

_PIP = "pip install --break-system-packages"
STEPS = (
    (
        "system",
        (
            "apt-get update && apt-get install -y --no-install-recommends"
            " python3-pip python3-dev g++ make ninja-build ca-certificates"
        ),
    ),
    ("torch", f"{_PIP} 'torch=={{torch}}' 'setuptools<81' wheel"),
    (
        "packages",
        (
            f"{_PIP} 'numpy<2' 'opencv-python-headless<4.12' nuscenes-devkit==1.2.0 ratarmountcore"
            " addict packaging pillow pyyaml yapf==0.40.1"
            f" && MMCV_WITH_OPS=1 {_PIP} --no-build-isolation mmcv-full==1.7.2"
        ),
    ),
    ("evaluator", f"cp -r /evaluator /tmp/e && {_PIP} --no-deps --no-build-isolation /tmp/e"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """How long each step took (s), and the compressed size of each layer (bytes), base first."""

    seconds: dict[str, float]
    layers: tuple[int, ...]


def build(base: str, *, evaluator: Path, torch: str) -> Plain:
    """Make the plain image upon `base`, a tag of the local Docker with apt in it, and remove it."""
    seconds, image = {}, base
    with tempfile.TemporaryDirectory() as folder:
        lent = HostPip.read().lend(Path(folder))
        mounts = [f"--volume={host}:{inside}" for host, inside in lent.items()]
        mounts.append(f"--volume={evaluator}:/evaluator:ro")
        for name, step in STEPS:
            start = time.monotonic()
            image = _commit(image, name, step.format(torch=torch), mounts)
            seconds[name] = time.monotonic() - start
    layers = layer_sizes(image)
    for name, _ in reversed(STEPS):
        _docker("rmi", "--force", f"cellar-bench-plain:{name}")
    return Plain(seconds=seconds, layers=layers)


def layer_sizes(tag: str) -> tuple[int, ...]:
    """Return the compressed size of each layer of an image in the local Docker, base first."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "image.tar"
        _docker("save", "--output", str(saved), tag)
        with tarfile.open(saved) as tar:
            index = json.loads(_member(tar, "index.json"))
            manifest = json.loads(_member(tar, _blob(index["manifests"][0]["digest"])))
            if "manifests" in manifest:
                manifest = json.loads(_member(tar, _blob(manifest["manifests"][0]["digest"])))
    return tuple(layer["size"] for layer in manifest["layers"])


def _commit(image: str, name: str, step: str, mounts: list[str]) -> str:
    # Sourced, not set as ENV: what the host's pip is told must not become part of the image.
    script = f"set -e; [ -e /cellar/host/environment ] && . /cellar/host/environment; {step}"
    container = _docker(
        "create", "--network=host", *mounts, "--user=0", image, "sh", "-c", script
    ).strip()
    try:
        _docker("start", "--attach", container)
        _docker("commit", container, f"cellar-bench-plain:{name}")
    finally:
        _docker("rm", "--force", container)
    return f"cellar-bench-plain:{name}"


def _docker(*arguments: str) -> str:
    return run(["docker", *arguments])


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    found = tar.extractfile(name)
    assert found is not None
    return found.read()


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
