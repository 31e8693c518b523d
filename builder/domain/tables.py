"""What is known of drivers, GPUs, compilers and torch's wheels, each row with its source."""

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import Version

from builder.domain.gpu import ComputeCapability, DeviceCode
from builder.domain.isa import IsaLevel
from builder.domain.version import CudaVersion, DriverVersion, PythonVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFamily:
    """The oldest driver that runs programs of any toolkit of one CUDA major version."""

    cuda_major: int
    linux: DriverVersion
    windows: DriverVersion
    source: str

    def oldest(self, *, wsl: bool) -> DriverVersion:
        """Return the floor; WSL has the Windows driver."""
        return self.windows if wsl else self.linux


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverRelease:
    """The driver that came with a toolkit: the oldest that can compile this toolkit's PTX.

    `windows` is None where NVIDIA names none.
    """

    cuda: CudaVersion
    linux: DriverVersion
    windows: DriverVersion | None
    source: str

    def oldest(self, *, wsl: bool) -> DriverVersion | None:
        """Return the floor; WSL has the Windows driver."""
        return self.windows if wsl else self.linux


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuArchitecture:
    """One GPU architecture: the toolkits that compile for it, and the hosts that it sits in."""

    capability: ComputeCapability
    name: str
    gpus: str  # examples, for people
    first: CudaVersion
    last: CudaVersion | None
    host: str  # x86-64, or aarch64 for boards that no x86-64 image runs on
    source: str

    def known_to(self, cuda: CudaVersion) -> bool:
        """Say whether nvcc of this toolkit compiles for this architecture."""
        return self.first <= cuda and (self.last is None or cuda <= self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerRange:
    """The gcc majors that nvcc of the toolkits `first` to `last` takes as host compiler."""

    first: CudaVersion
    last: CudaVersion
    gcc_min: int
    gcc_max: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What a distribution brings: its C library, its Python, its compilers."""

    os: str
    glibc: str
    python: PythonVersion
    gcc: tuple[int, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchBuild:
    """The device code of one torch wheel."""

    torch: Version
    cuda: CudaVersion | None
    code: DeviceCode
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """How a wheel is compiled anew from its sdist where it needs more than the level asked for.

    `requirements` are installed in the stage that compiles it, beside torch and the toolchain;
    `environment` is that stage's, beside the flags of the level. `lacks` says what the wheel of
    the package index has and this one has not.
    """

    distribution: str
    version: Version
    requirements: tuple[str, ...]
    environment: Mapping[str, str]
    lacks: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IsaFloor:
    """A wheel that fails below `level`, as it is loaded or used, and an instruction that shows it.

    `function` is a symbol, or the address of a function of a stripped file. Without a `rebuild`
    the wheel keeps its cells from the levels below.
    """

    distribution: str
    version: Version
    sha256: str  # of the wheel
    level: IsaLevel
    file: str  # in the wheel
    build_id: str
    function: str
    instruction: str
    needs: str  # the feature that the levels below lack
    cells: tuple[str, ...]  # whose locks hold this wheel
    rebuild: Rebuild | None = None

    @property
    def package(self) -> str:
        """Return the folder of site-packages that the wheel's code lies in."""
        return self.file.partition("/")[0]

    def __str__(self) -> str:
        """Return one clause: library, function and instruction."""
        return (
            f"{self.distribution} {self.version} needs {self.needs} "
            f"({self.file}, {self.function}: {self.instruction})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A refused combination: every axis in `match` within its PEP 440 specifier."""

    match: Mapping[str, str]
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """All that the matrix knows beside its cells; `versions` are those considered, by axis."""

    sources: Mapping[str, str]
    driver_families: tuple[DriverFamily, ...]
    driver_releases: tuple[DriverRelease, ...]
    gpu_architectures: tuple[GpuArchitecture, ...]
    compilers: tuple[CompilerRange, ...]
    distributions: tuple[Distribution, ...]
    torch_builds: tuple[TorchBuild, ...]
    versions: Mapping[str, tuple[Version, ...]]
    exclusions: tuple[Exclusion, ...]
    isa_floors: tuple[IsaFloor, ...] = ()

    def family(self, cuda: CudaVersion) -> DriverFamily:
        """Return the driver floor of a toolkit's major; KeyError where there is no row."""
        return {row.cuda_major: row for row in self.driver_families}[cuda.major]

    def release(self, cuda: CudaVersion) -> DriverRelease:
        """Return the driver that came with a toolkit; KeyError where there is no row."""
        return {row.cuda: row for row in self.driver_releases}[cuda]

    def architecture(self, capability: ComputeCapability) -> GpuArchitecture | None:
        """Return what is known of a compute capability."""
        return {row.capability: row for row in self.gpu_architectures}.get(capability)

    def torch_build(self, torch: Version) -> TorchBuild:
        """Return the device code of a torch wheel; KeyError where there is no row."""
        return {row.torch: row for row in self.torch_builds}[torch]

    def distribution(self, os: str) -> Distribution:
        """Return what a distribution brings; KeyError where there is no row."""
        return {row.os: row for row in self.distributions}[os]

    def floors(self, cell: str) -> tuple[IsaFloor, ...]:
        """Return the wheels of a cell that keep it from lower levels."""
        return tuple(row for row in self.isa_floors if cell in row.cells)

    def rebuilds(self, cell: str, isa: IsaLevel | None = None) -> tuple[Rebuild, ...]:
        """Return what a cell compiles anew to hold to `isa`; without one, to any lower level."""
        return tuple(
            row.rebuild
            for row in self.floors(cell)
            if row.rebuild and (isa is None or row.level > isa)
        )

    def compiler(self, cuda: CudaVersion) -> CompilerRange:
        """Return the host compilers of a toolkit; KeyError where there is no row."""
        for row in self.compilers:
            if row.first <= cuda <= row.last:
                return row
        raise KeyError(cuda)
