"""The compatibility matrix: the cells, and what is known of drivers, GPUs and compilers."""

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import Version

from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel
from builder.domain.version import CudaVersion, PythonVersion
from builder.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianBase:
    """A base that Cellar assembles from locked .debs of one suite."""

    suite: str  # bookworm, trixie
    components: tuple[str, ...] = ("main",)

    @property
    def os(self) -> str:
        """Return the distribution's name in the matrix's table."""
        return self.suite


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryBase:
    """A base image that is taken from a registry, by digest.

    `quoted` says that the digest was read in a publication and no pull has confirmed it.
    """

    reference: str  # repository:tag, for people
    digest: str
    os: str  # ubuntu20.04
    quoted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """The CUDA toolkit of a cell: its release, and the channel that holds nvcc."""

    version: Version  # 12.4.1
    channel: str  # registry (part of the base), debian, package-index


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One admitted combination of axes; `id` names tag, lock, golden file and log line."""

    id: str
    summary: str
    base: DebianBase | RegistryBase
    python: PythonVersion
    torch: Version
    cuda: CudaVersion | None
    toolkit: Toolkit | None
    packages: Mapping[str, Version]  # mmcv-full, mmdet, mmsegmentation, mmdet3d, detectron2, ...
    pins: Mapping[str, Version]  # further distributions that must have exactly this version
    gpu_archs: tuple[ComputeCapability, ...]  # what the ops are compiled for, ascending
    ptx: ComputeCapability | None
    isa: IsaLevel  # the level that is built when none is asked for
    channels: tuple[str, ...]

    @property
    def holds_upstream(self) -> bool:
        """Say whether the authors' own code is part of this cell."""
        return "mmdet3d" in self.packages

    @property
    def arch_list(self) -> str:
        """Return TORCH_CUDA_ARCH_LIST, as `8.6;9.0+PTX`; empty without a GPU."""
        return ";".join(f"{arch}+PTX" if arch == self.ptx else str(arch) for arch in self.gpu_archs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The cells of one image, oldest CUDA first."""

    image: str
    cells: tuple[Cell, ...]

    def cell(self, name: str) -> Cell:
        """Return the cell of this id; an unknown one is a UsageError that lists them."""
        for cell in self.cells:
            if cell.id == name:
                return cell
        message = f"no cell is called {name!r}"
        raise UsageError(message, hint="one of " + ", ".join(cell.id for cell in self.cells))
