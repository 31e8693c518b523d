"""From data files that are valid under their schemas to domain values."""

from collections.abc import Iterable, Mapping

from packaging.version import Version

from builder.domain.definition import (
    ImageDefinition,
    PipLayerDefinition,
    SourceDefinition,
    WeightsDefinition,
)
from builder.domain.documents import (
    BaseDocument,
    CellDocument,
    EditsDocument,
    ImageDocument,
    IsaFloorDocument,
    MatrixDocument,
    ToolkitDocument,
)
from builder.domain.edits import Edit
from builder.domain.gpu import ComputeCapability, DeviceCode
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, DebianBase, Matrix, Proven, RegistryBase, StandIn, Toolkit
from builder.domain.tables import (
    CompilerRange,
    Distribution,
    DriverFamily,
    DriverRelease,
    Exclusion,
    GpuArchitecture,
    IsaFloor,
    Rebuild,
    Tables,
    TorchBuild,
)
from builder.domain.version import CudaVersion, DriverVersion, PythonVersion


def matrix(document: MatrixDocument) -> Matrix:
    """Read a matrix that is valid under matrix.schema.json."""
    return Matrix(
        image=document["image"],
        cells=tuple(_cell(row) for row in document["cells"]),
        tables=_tables(document),
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
        not_after=document["not_after"],
        user=document["user"],
        workdir=document["workdir"],
        prefix=document["prefix"],
        entry_points=tuple(document["entry_points"]),
        layers=tuple(PipLayerDefinition(**row) for row in document["layers"]),
        sources={name: SourceDefinition(**row) for name, row in document["sources"].items()},
        weights={name: WeightsDefinition(**row) for name, row in document["weights"].items()},
    )


def edits(document: EditsDocument) -> tuple[Edit, ...]:
    """Read the edits of a document that is valid under edits.schema.json."""
    return tuple(
        Edit(
            source=row["source"],
            file=row["file"],
            find=row["find"],
            replace=row["replace"],
            count=row["count"],
            why=row["why"],
            until=row["until"],
            cells=tuple(row["cells"]),
        )
        for row in document["edits"]
    )


def _cell(row: CellDocument) -> Cell:
    return Cell(
        id=row["id"],
        summary=row["summary"],
        base=_base(row["base"]),
        python=PythonVersion.parse(row["python"]),
        torch=Version(row["torch"]),
        cuda=_cuda(row["cuda"]),
        toolkit=_toolkit(row["toolkit"]),
        packages=_versions(row["packages"]),
        pins=_versions(row["pins"]),
        gpu_archs=_capabilities(row["gpu_archs"]),
        ptx=ComputeCapability.parse(row["ptx"]) if row["ptx"] else None,
        isa=IsaLevel(row["isa"]),
        proven=_proven(row),
        channels=tuple(row["channels"]),
        stand_in=StandIn(**row["stand_in"]) if "stand_in" in row else None,
    )


def _proven(row: CellDocument) -> Proven | None:
    if "proven" not in row:
        return None
    return Proven(isa=IsaLevel(row["proven"]["isa"]), evidence=row["proven"]["evidence"])


def _base(row: BaseDocument) -> DebianBase | RegistryBase:
    if row["kind"] == "debian":
        return DebianBase(suite=row["suite"], components=tuple(row["components"]))
    return RegistryBase(
        reference=row["reference"], digest=row["digest"], os=row["os"], quoted=row["quoted"]
    )


def _toolkit(row: ToolkitDocument | None) -> Toolkit | None:
    return row and Toolkit(version=Version(row["version"]), channel=row["channel"])


def _tables(document: MatrixDocument) -> Tables:
    return Tables(
        sources=document["sources"],
        driver_families=_families(document),
        driver_releases=_releases(document),
        gpu_architectures=_architectures(document),
        compilers=_compilers(document),
        distributions=_distributions(document),
        torch_builds=_torch_builds(document),
        versions={
            axis: tuple(Version(text) for text in texts)
            for axis, texts in document["versions"].items()
        },
        exclusions=tuple(Exclusion(**row) for row in document["exclusions"]),
        isa_floors=_isa_floors(document),
    )


def _families(document: MatrixDocument) -> tuple[DriverFamily, ...]:
    return tuple(
        DriverFamily(
            cuda_major=row["cuda_major"],
            linux=DriverVersion.parse(row["linux"]),
            windows=DriverVersion.parse(row["windows"]),
            source=row["source"],
        )
        for row in document["driver_families"]
    )


def _releases(document: MatrixDocument) -> tuple[DriverRelease, ...]:
    return tuple(
        DriverRelease(
            cuda=CudaVersion.parse(row["cuda"]),
            linux=DriverVersion.parse(row["linux"]),
            windows=DriverVersion.parse(row["windows"]) if row["windows"] else None,
            source=row["source"],
        )
        for row in document["driver_releases"]
    )


def _architectures(document: MatrixDocument) -> tuple[GpuArchitecture, ...]:
    return tuple(
        GpuArchitecture(
            capability=ComputeCapability.parse(row["capability"]),
            name=row["name"],
            gpus=row["gpus"],
            first=CudaVersion.parse(row["first"]),
            last=_cuda(row["last"]),
            host=row["host"],
            source=row["source"],
        )
        for row in document["gpu_architectures"]
    )


def _compilers(document: MatrixDocument) -> tuple[CompilerRange, ...]:
    return tuple(
        CompilerRange(
            first=CudaVersion.parse(row["first"]),
            last=CudaVersion.parse(row["last"]),
            gcc_min=row["gcc_min"],
            gcc_max=row["gcc_max"],
            source=row["source"],
        )
        for row in document["compilers"]
    )


def _distributions(document: MatrixDocument) -> tuple[Distribution, ...]:
    return tuple(
        Distribution(
            os=row["os"],
            glibc=row["glibc"],
            python=PythonVersion.parse(row["python"]),
            gcc=tuple(row["gcc"]),
            source=row["source"],
        )
        for row in document["distributions"]
    )


def _torch_builds(document: MatrixDocument) -> tuple[TorchBuild, ...]:
    return tuple(
        TorchBuild(
            torch=Version(row["torch"]),
            cuda=_cuda(row["cuda"]),
            code=DeviceCode(_capabilities(row["cubins"]), _capabilities(row["ptx"])),
            source=row["source"],
        )
        for row in document["torch_builds"]
    )


def _isa_floors(document: MatrixDocument) -> tuple[IsaFloor, ...]:
    return tuple(
        IsaFloor(
            distribution=row["distribution"],
            version=Version(row["version"]),
            sha256=row["sha256"],
            level=IsaLevel(row["level"]),
            file=row["file"],
            build_id=row["build_id"],
            function=row["function"],
            instruction=row["instruction"],
            needs=row["needs"],
            cells=tuple(row["cells"]),
            rebuild=_rebuild(row),
        )
        for row in document["isa_floors"]
    )


def _rebuild(row: IsaFloorDocument) -> Rebuild | None:
    if "rebuild" not in row:
        return None
    how = row["rebuild"]
    return Rebuild(
        distribution=row["distribution"],
        version=Version(row["version"]),
        requirements=tuple(how["requirements"]),
        environment=how["environment"],
        lacks=how["lacks"],
    )


def _cuda(text: str | None) -> CudaVersion | None:
    return CudaVersion.parse(text) if text else None


def _capabilities(texts: Iterable[str]) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability.parse(text) for text in texts)


def _versions(row: Mapping[str, str]) -> Mapping[str, Version]:
    return {name: Version(text) for name, text in row.items()}
