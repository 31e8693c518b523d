"""A small lock that is right in every way, for tests to break."""

from pathlib import Path

from builder.adapters.data import datafiles
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.lockfile import Lock, PipLayer, RebuildInputs
from builder.domain.locking import Definition
from builder.domain.matrix import Cell
from builder.domain.requirement_files import Pin, render

IMAGES = Path(__file__).parents[2] / "images"
IMAGE = datafiles.load_image(IMAGES / "bevformer" / "image.yaml")
MATRIX = datafiles.load_matrix(IMAGES / "bevformer" / "matrix.yaml")
CPU: Cell = MATRIX.cell("cpu")
DEFINITION = Definition(
    cell=CPU,
    image=IMAGE,
    requirements={"base.apt": "python{python}\n", "torch.in": "torch\n", "sources.in": "mmcv-full"},
)
TORCH_FILE = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


def digest(text: str) -> str:
    """Return a sha256-like word that tells tests apart: `a` gives aaaa..."""
    return (text * 64)[:64]


def deb(name: str, letter: str) -> Artifact:
    filename = f"{name}_1.0-1_amd64.deb"
    return Artifact(
        kind=ArtifactKind.DEB,
        name=name,
        version="1:1.0-1",
        architecture="amd64",
        filename=filename,
        sha256=digest(letter),
        size=10,
        channel="debian",
        location=f"pool/main/{name[0]}/{name}/{filename}",
    )


def wheel(name: str, version: str, filename: str, letter: str) -> Artifact:
    return Artifact(
        kind=ArtifactKind.WHEEL,
        name=name,
        version=version,
        filename=filename,
        sha256=digest(letter),
        size=20,
        channel="package-index",
    )


def sdist(name: str, version: str, letter: str) -> Artifact:
    return Artifact(
        kind=ArtifactKind.SDIST,
        name=name,
        version=version,
        filename=f"{name}-{version}.tar.gz",
        sha256=digest(letter),
        size=30,
        channel="package-index",
    )


def layer(name: str, *artifacts: Artifact) -> PipLayer:
    pins = [Pin(name=one.name, version=one.version, hashes=(one.sha256,)) for one in artifacts]
    return PipLayer(name=name, requirements=render(pins), artifacts=artifacts)


LOCK = Lock(
    image="bevformer",
    cell="cpu",
    cell_digest=DEFINITION.digest,
    epoch=IMAGE.epoch,
    base=None,
    debs={"essential": (deb("dpkg", "a"),), "base": (deb("python3.11", "b"),)},
    pip=(
        layer("torch", wheel("torch", "2.13.0+cpu", TORCH_FILE, "c")),
        layer("runtime", wheel("tqdm", "4.70.1", "tqdm-4.70.1-py3-none-any.whl", "d")),
        layer("build", wheel("pip", "26.3", "pip-26.3-py3-none-any.whl", "e")),
    ),
    sources=(sdist("mmcv-full", "1.7.2", "f"),),
)
TQDM_ANEW = RebuildInputs(
    sdist=sdist("tqdm", "4.70.1", "1"),
    requirements=("cython<4",),
    layer=layer("rebuild-tqdm", wheel("cython", "3.0", "cython-3.0-py3-none-any.whl", "2")),
)
