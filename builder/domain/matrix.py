"""The compatibility matrix: the cells, and what is known of drivers, GPUs and compilers."""

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import Version

from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel
from builder.domain.version import CudaVersion, PythonVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianBase:
    """A base that Cellar assembles from locked .debs of one suite."""

    suite: str  # bookworm, trixie
    components: tuple[str, ...] = ("main",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryBase:
    """A base image that is taken from a registry, by digest."""

    reference: str  # repository:tag, for people
    digest: str
    os: str  # ubuntu20.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One admitted combination of axes; `id` names tag, lock, golden file and log line."""

    id: str
    summary: str
    base: DebianBase | RegistryBase
    python: PythonVersion
    torch: Version
    cuda: CudaVersion | None
    packages: Mapping[str, Version]  # mmcv-full, mmdet, mmsegmentation, mmdet3d, detectron2
    gpu_archs: tuple[ComputeCapability, ...]
    ptx: ComputeCapability | None
    isa: IsaLevel  # the level that is built when none is asked for
    channels: tuple[str, ...]
