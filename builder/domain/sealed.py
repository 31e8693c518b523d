"""What an image needs of its host: known before it is sealed, and so written down inside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NotRequired, TypeAlias, TypedDict

from builder.domain.definition import ImageDefinition
from builder.domain.documents import StandInDocument
from builder.domain.gpu import ComputeCapability, DeviceCode
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import Lock
from builder.domain.matrix import StandIn
from builder.domain.resolve import Selection
from builder.domain.tables import DriverFamily, DriverRelease, Tables
from builder.domain.version import CudaVersion, DriverVersion

SCHEMA = 1
LABEL = "cellar.passport"  # holds the sealed part as JSON, for whoever reads an image unopened
PLACE = "share/cellar/passport.json"  # the same below the image's prefix

_SOURCE = "the passport"

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNeeds:
    """What the device code of an image runs on, and the drivers that its CUDA asks for.

    `family` holds the oldest driver by minor-version compatibility, `release` that which compiles
    this toolkit's PTX.
    """

    cuda: CudaVersion
    torch: DeviceCode
    ops: DeviceCode
    family: DriverFamily
    release: DriverRelease


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The part of a passport that its image carries; `without` are sources that it lacks.

    `stand_in` says of which cell it only tries the build, and why.
    """

    image: str
    variant: str
    cell: str
    isa: IsaLevel
    gpu: GpuNeeds | None
    base: str
    glibc: str
    python: str
    torch: str
    packages: Mapping[str, str]
    without: tuple[str, ...]
    stand_in: StandIn | None = None


def seal(image: ImageDefinition, selection: Selection, tables: Tables, lock: Lock | None) -> Sealed:
    """Write down what is known of an image before it is built; without a lock it has no sources."""
    cell = selection.cell
    packages = {name: str(version) for name, version in cell.packages.items()}
    packages |= {source.name: source.version for source in (lock.sources if lock else ())}
    without = {one.name for one in (lock.absent if lock else ())}
    return Sealed(
        image=image.name,
        variant=selection.variant,
        cell=cell.id,
        isa=selection.isa,
        gpu=_gpu_needs(selection, tables),
        base=str(cell.base),
        glibc=tables.distribution(cell.base.os).glibc,
        python=str(cell.python),
        torch=str(cell.torch),
        packages={name: packages[name] for name in sorted(packages.keys() - without)},
        without=tuple(sorted(without)),
        stand_in=cell.stand_in,
    )


def _gpu_needs(selection: Selection, tables: Tables) -> GpuNeeds | None:
    cuda = selection.cell.cuda
    if cuda is None:
        return None
    return GpuNeeds(
        cuda=cuda,
        torch=tables.torch_build(selection.cell.torch).code,
        ops=DeviceCode(selection.gpu_archs, (selection.ptx,) if selection.ptx else ()),
        family=tables.family(cuda),
        release=tables.release(cuda),
    )


def sealed_document(sealed: Sealed) -> dict[str, JSON]:
    """Return the sealed part under passport.schema.json; nothing in it depends on the build."""
    return {
        "schema": SCHEMA,
        "image": sealed.image,
        "variant": sealed.variant,
        "cell": sealed.cell,
        "isa": str(sealed.isa),
        "gpu": _gpu_document(sealed.gpu) if sealed.gpu else None,
        "base": sealed.base,
        "glibc": sealed.glibc,
        "python": sealed.python,
        "torch": sealed.torch,
        "packages": dict(sealed.packages),
        "without": list(sealed.without),
        **({"stand_in": _stand_in_document(sealed.stand_in)} if sealed.stand_in else {}),
    }


def _stand_in_document(stand_in: StandIn) -> dict[str, JSON]:
    return {"cell": stand_in.cell, "reason": stand_in.reason}


def _gpu_document(gpu: GpuNeeds) -> dict[str, JSON]:
    return {
        "cuda": str(gpu.cuda),
        "torch": _code_document(gpu.torch),
        "ops": _code_document(gpu.ops),
        "driver": {"linux": str(gpu.family.linux), "windows": str(gpu.family.windows)},
        "ptx_driver": {
            "linux": str(gpu.release.linux),
            "windows": str(gpu.release.windows) if gpu.release.windows else None,
        },
    }


def _code_document(code: DeviceCode) -> dict[str, JSON]:
    return {
        "cubins": [str(arch) for arch in code.cubins],
        "ptx": [str(arch) for arch in code.ptx],
    }


def sealed_text(sealed: Sealed) -> str:
    """Return the same as one line that can stand in single quotes in a Dockerfile."""
    text = json.dumps(sealed_document(sealed), sort_keys=True, separators=(",", ":"))
    return text.replace("'", "\\u0027")


class SealedDocument(TypedDict):
    """A sealed part that is valid under passport.schema.json."""

    image: str
    variant: str
    cell: str
    isa: str
    gpu: "GpuDocument | None"
    base: str
    glibc: str
    python: str
    torch: str
    packages: Mapping[str, str]
    without: list[str]
    stand_in: NotRequired[StandInDocument]


class GpuDocument(TypedDict):
    """`gpu` of a sealed part."""

    cuda: str
    torch: Mapping[str, list[str]]
    ops: Mapping[str, list[str]]
    driver: Mapping[str, str]
    ptx_driver: Mapping[str, str | None]


def read_sealed(document: SealedDocument) -> Sealed:
    """Read back what `sealed_document` wrote."""
    return Sealed(
        image=document["image"],
        variant=document["variant"],
        cell=document["cell"],
        isa=IsaLevel(document["isa"]),
        gpu=_read_gpu(document["gpu"]) if document["gpu"] else None,
        base=document["base"],
        glibc=document["glibc"],
        python=document["python"],
        torch=document["torch"],
        packages=dict(document["packages"]),
        without=tuple(document["without"]),
        stand_in=StandIn(**document["stand_in"]) if "stand_in" in document else None,
    )


def _read_gpu(document: GpuDocument) -> GpuNeeds:
    cuda = CudaVersion.parse(document["cuda"])
    driver, ptx = document["driver"], document["ptx_driver"]
    return GpuNeeds(
        cuda=cuda,
        torch=_read_code(document["torch"]),
        ops=_read_code(document["ops"]),
        family=DriverFamily(
            cuda_major=cuda.major,
            linux=DriverVersion.parse(driver["linux"]),
            windows=DriverVersion.parse(driver["windows"]),
            source=_SOURCE,
        ),
        release=DriverRelease(
            cuda=cuda,
            linux=DriverVersion.parse(ptx["linux"] or ""),
            windows=DriverVersion.parse(ptx["windows"]) if ptx["windows"] else None,
            source=_SOURCE,
        ),
    )


def _read_code(document: Mapping[str, list[str]]) -> DeviceCode:
    cubins, ptx = (
        tuple(ComputeCapability.parse(arch) for arch in document[kind])
        for kind in ("cubins", "ptx")
    )
    return DeviceCode(cubins, ptx)
