"""The shapes of the hand-written data files, as their schemas promise them."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class ToolkitDocument(TypedDict):
    """`toolkit` of a cell."""

    version: str
    channel: str


class BaseDocument(TypedDict, total=False):
    """`base` of a cell: `kind` says which of the other fields are there."""

    kind: str
    suite: str
    components: list[str]
    reference: str
    digest: str
    os: str
    quoted: bool


class StandInDocument(TypedDict):
    """`stand_in` of a cell."""

    cell: str
    reason: str


class ProvenDocument(TypedDict):
    """`proven` of a cell."""

    isa: str
    evidence: str


class CellDocument(TypedDict):
    """One row of `cells`."""

    id: str
    summary: str
    stand_in: NotRequired[StandInDocument]
    base: BaseDocument
    python: str
    torch: str
    cuda: str | None
    toolkit: ToolkitDocument | None
    packages: Mapping[str, str]
    pins: Mapping[str, str]
    gpu_archs: list[str]
    ptx: str | None
    isa: str
    proven: NotRequired[ProvenDocument]
    channels: list[str]


class DriverFamilyDocument(TypedDict):
    """One row of `driver_families`."""

    cuda_major: int
    linux: str
    windows: str
    source: str


class DriverReleaseDocument(TypedDict):
    """One row of `driver_releases`."""

    cuda: str
    linux: str
    windows: str | None
    source: str


class GpuArchitectureDocument(TypedDict):
    """One row of `gpu_architectures`."""

    capability: str
    name: str
    gpus: str
    first: str
    last: str | None
    host: str
    source: str


class CompilerDocument(TypedDict):
    """One row of `compilers`."""

    first: str
    last: str
    gcc_min: int
    gcc_max: int
    source: str


class DistributionDocument(TypedDict):
    """One row of `distributions`."""

    os: str
    glibc: str
    python: str
    gcc: list[int]
    source: str


class TorchBuildDocument(TypedDict):
    """One row of `torch_builds`."""

    torch: str
    cuda: str | None
    cubins: list[str]
    ptx: list[str]
    source: str


class ExclusionDocument(TypedDict):
    """One row of `exclusions`."""

    match: Mapping[str, str]
    reason: str
    evidence: str


class RebuildDocument(TypedDict):
    """`rebuild` of a row of `isa_floors`."""

    requirements: list[str]
    environment: Mapping[str, str]
    lacks: str


class IsaFloorDocument(TypedDict):
    """One row of `isa_floors`."""

    distribution: str
    version: str
    sha256: str
    level: str
    file: str
    build_id: str
    function: str
    instruction: str
    needs: str
    cells: list[str]
    rebuild: NotRequired[RebuildDocument]


class MatrixDocument(TypedDict):
    """A whole matrix.yaml."""

    image: str
    cells: list[CellDocument]
    sources: Mapping[str, str]
    driver_families: list[DriverFamilyDocument]
    driver_releases: list[DriverReleaseDocument]
    gpu_architectures: list[GpuArchitectureDocument]
    compilers: list[CompilerDocument]
    distributions: list[DistributionDocument]
    torch_builds: list[TorchBuildDocument]
    versions: Mapping[str, list[str]]
    exclusions: list[ExclusionDocument]
    isa_floors: list[IsaFloorDocument]


class LayerDocument(TypedDict):
    """One row of `layers` in image.yaml."""

    name: str
    requirements: str
    stage: str


class SourceDocument(TypedDict):
    """One value of `sources` in image.yaml."""

    url: str
    commit: str
    tree: str
    sha256: str
    size: int
    licence: str


class WeightsDocument(TypedDict):
    """One value of `weights` in image.yaml."""

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
    not_after: str
    user: int
    workdir: str
    prefix: str
    entry_points: list[str]
    layers: list[LayerDocument]
    sources: Mapping[str, SourceDocument]
    weights: Mapping[str, WeightsDocument]


class EditDocument(TypedDict):
    """One row of `edits` in edits.yaml."""

    source: str
    file: str
    find: str
    replace: str
    count: int
    why: str
    until: str
    cells: list[str]


class EditsDocument(TypedDict):
    """A whole edits.yaml."""

    edits: list[EditDocument]
