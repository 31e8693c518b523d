"""From the JSON values of a data file, already valid under its schema, to domain values."""

from collections.abc import Mapping
from typing import TypedDict

from packaging.version import Version

from builder.domain.definition import (
    ImageDefinition,
    PipLayerDefinition,
    SourceDefinition,
    WeightsDefinition,
)
from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, DebianBase, Matrix, RegistryBase, Toolkit
from builder.domain.version import CudaVersion, PythonVersion


class ToolkitDocument(TypedDict):
    """`toolkit` of a cell."""

    version: str
    channel: str


class CellDocument(TypedDict):
    """One row of `cells`."""

    id: str
    summary: str
    base: Mapping[str, object]
    python: str
    torch: str
    cuda: str | None
    toolkit: ToolkitDocument | None
    packages: Mapping[str, str]
    pins: Mapping[str, str]
    gpu_archs: list[str]
    ptx: str | None
    isa: str
    channels: list[str]


class MatrixDocument(TypedDict):
    """A whole matrix.yaml."""

    image: str
    cells: list[CellDocument]


class LayerDocument(TypedDict):
    """One row of `layers`."""

    name: str
    requirements: str
    stage: str


class SourceDocument(TypedDict):
    """One value of `sources`."""

    url: str
    commit: str
    tree: str
    licence: str


class WeightsDocument(TypedDict):
    """One value of `weights`."""

    url: str
    sha256: str
    size: int | None
    quoted: bool


class ImageDocument(TypedDict):
    """A whole image.yaml."""

    name: str
    title: str
    description: str
    authors: str
    licences: str
    documentation: str
    epoch: int
    user: int
    workdir: str
    prefix: str
    entry_points: list[str]
    layers: list[LayerDocument]
    sources: Mapping[str, SourceDocument]
    weights: Mapping[str, WeightsDocument]


def matrix(document: MatrixDocument) -> Matrix:
    """Read a matrix that is valid under matrix.schema.json."""
    return Matrix(
        image=document["image"],
        cells=tuple(_cell(row) for row in document["cells"]),
    )


def image(document: ImageDocument) -> ImageDefinition:
    """Read an image definition that is valid under image.schema.json."""
    return ImageDefinition(
        name=document["name"],
        title=document["title"],
        description=document["description"],
        authors=document["authors"],
        licences=document["licences"],
        documentation=document["documentation"],
        epoch=document["epoch"],
        user=document["user"],
        workdir=document["workdir"],
        prefix=document["prefix"],
        entry_points=tuple(document["entry_points"]),
        layers=tuple(PipLayerDefinition(**row) for row in document["layers"]),
        sources={name: SourceDefinition(**row) for name, row in document["sources"].items()},
        weights={name: WeightsDefinition(**row) for name, row in document["weights"].items()},
    )


def _cell(row: CellDocument) -> Cell:
    toolkit = row["toolkit"]
    return Cell(
        id=row["id"],
        summary=row["summary"],
        base=_base(row["base"]),
        python=PythonVersion.parse(row["python"]),
        torch=Version(row["torch"]),
        cuda=CudaVersion.parse(row["cuda"]) if row["cuda"] else None,
        toolkit=toolkit
        and Toolkit(version=Version(toolkit["version"]), channel=toolkit["channel"]),
        packages=_versions(row["packages"]),
        pins=_versions(row["pins"]),
        gpu_archs=tuple(ComputeCapability.parse(arch) for arch in row["gpu_archs"]),
        ptx=ComputeCapability.parse(row["ptx"]) if row["ptx"] else None,
        isa=IsaLevel(row["isa"]),
        channels=tuple(row["channels"]),
    )


def _base(row: Mapping[str, object]) -> DebianBase | RegistryBase:
    fields = {key: value for key, value in row.items() if key != "kind"}
    if row["kind"] == "registry":
        return RegistryBase(**fields)  # type: ignore[arg-type]
    return DebianBase(suite=str(fields["suite"]), components=tuple(fields["components"]))  # type: ignore[arg-type]


def _versions(row: Mapping[str, str]) -> Mapping[str, Version]:
    return {name: Version(text) for name, text in row.items()}
