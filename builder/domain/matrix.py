"""The compatibility matrix: the cells, and what is known of drivers, GPUs and compilers."""

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import Version

from builder.domain.fault import did_you_mean
from builder.domain.gpu import ComputeCapability, DeviceCode
from builder.domain.isa import IsaLevel
from builder.domain.tables import Tables
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

    def __str__(self) -> str:
        return f"Debian {self.suite}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryBase:
    """A base image that is taken from a registry, by digest.

    `quoted` says that the digest was read in a publication and no pull has confirmed it.
    """

    reference: str  # registry/repository:tag, for people
    digest: str
    os: str  # ubuntu20.04
    quoted: bool = False

    def __str__(self) -> str:
        return self.reference.removeprefix("docker.io/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """The CUDA toolkit of a cell: its release, and the channel that holds nvcc."""

    version: Version  # 12.4.1
    channel: str  # registry (part of the base), debian, package-index


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What a stand-in is for: the `cell` whose build it tries, and why that one itself cannot."""

    cell: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """The lowest ISA level that a cell was proven at, and the passport that says so."""

    isa: IsaLevel
    evidence: str  # below the image's folder


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
    isa: IsaLevel  # the lowest that its wheels allow as they are, built when none is asked for
    channels: tuple[str, ...]
    proven: Proven | None = None  # None: at no level yet
    stand_in: StandIn | None = None  # torch's CUDA is another than the toolkit's; for the CPU

    @property
    def holds_upstream(self) -> bool:
        """Say whether the authors' own code is part of this cell."""
        return "mmdet3d" in self.packages

    @property
    def ops_code(self) -> DeviceCode:
        """Return the device code that the compiled ops carry."""
        return DeviceCode(self.gpu_archs, (self.ptx,) if self.ptx else ())

    @property
    def arch_list(self) -> str:
        """Return TORCH_CUDA_ARCH_LIST, as `8.6;9.0+PTX`; empty without a GPU."""
        return arch_list(self.gpu_archs, self.ptx)


def arch_list(archs: tuple[ComputeCapability, ...], ptx: ComputeCapability | None) -> str:
    """Write architectures as torch's TORCH_CUDA_ARCH_LIST, as `8.6;9.0+PTX`."""
    return ";".join(f"{arch}+PTX" if arch == ptx else str(arch) for arch in archs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The cells of one image, that without CUDA first and then by CUDA version."""

    image: str
    cells: tuple[Cell, ...]
    tables: Tables

    @property
    def offered(self) -> tuple[Cell, ...]:
        """Return the cells that a host is offered; a stand-in is taken by its name alone."""
        return tuple(cell for cell in self.cells if cell.stand_in is None)

    def cell(self, name: str) -> Cell:
        """Return the cell of this id; an unknown one is a UsageError that lists them."""
        ids = [cell.id for cell in self.cells]
        if name not in ids:
            message = f"no cell is called {name!r}{did_you_mean(name, ids)}"
            raise UsageError(message, hint="the cells are " + ", ".join(ids))
        return self.cells[ids.index(name)]

    def reaches(self, cell: Cell, isa: IsaLevel) -> bool:
        """Say whether a cell is built for a level: as its wheels are, or with some compiled anew.

        Below `cell.isa` only what was audited is known to keep it from a level.
        """
        if isa >= cell.isa:
            return True
        floors = [row for row in self.tables.floors(cell.id) if row.level > isa]
        return bool(floors) and all(row.rebuild for row in floors)

    def gcc(self, cell: Cell) -> int:
        """Return the gcc major that compiles a cell's ops: the base's newest that nvcc takes.

        KeyError where no table has a row, ValueError where no gcc of the base fits.
        """
        majors = self.tables.distribution(cell.base.os).gcc
        if cell.cuda is None:
            return max(majors)
        row = self.tables.compiler(cell.cuda)
        return max(major for major in majors if row.gcc_min <= major <= row.gcc_max)
