"""Which GPUs the device code of a file serves: natively, by JIT, or not at all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from builder.domain.gpu import ComputeCapability, cubin_runs


class CodeKind(Enum):
    """What a fat binary holds for one architecture."""

    CUBIN = "cubin"
    PTX = "PTX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Device code for one architecture; `size` in bytes as stored (mostly compressed)."""

    kind: CodeKind
    arch: ComputeCapability
    size: int
    ptx_isa: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """Return `sm_86` or `compute_86`, as nvcc names them."""
        return self.arch.sm if self.kind is CodeKind.CUBIN else f"compute_{self.arch.sm[3:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """All fat binaries of a file that hold the same architectures, their sizes summed."""

    codes: tuple[Code, ...]
    count: int

    @property
    def archs(self) -> tuple[str, ...]:
        """Name what each of them holds."""
        return tuple(dict.fromkeys(code.name for code in self.codes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The fat binaries of one file, the commonest kind first."""

    containers: tuple[Container, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """Return the architectures that the file's own code was compiled for.

        That is the commonest set: a static cuDNN or cuBLAS adds sets of its own, so that the
        union of all would promise GPUs that the file's own kernels do not run on.
        """
        return self.containers[0].archs if self.containers else ()

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bytes stored for each architecture, largest architecture last."""
        codes = [code for container in self.containers for code in container.codes]
        names = dict.fromkeys(c.name for c in sorted(codes, key=lambda c: (c.arch, c.kind.value)))
        return {name: sum(c.size for c in codes if c.name == name) for name in names}


class Service(Enum):
    """How a file's device code reaches one GPU; later members are worse."""

    NATIVE = "native"
    JIT = "by JIT"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuJudgement:
    """What one file offers one GPU: how, for how many fat binaries, and the driver that JIT needs.

    `service` is that of the commonest set; `native`, `jit` and `missing` count all fat binaries.
    """

    device: ComputeCapability
    service: Service
    native: int
    jit: int
    missing: int
    driver: str  # the least Linux driver for the PTX that would be compiled, empty if none is


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuAudit:
    """One file held against the GPUs that a cell declares."""

    judgements: tuple[GpuJudgement, ...]
    superfluous: tuple[tuple[str, int], ...]  # architectures that serve none of them, with bytes


# PTX ISA -> the first Linux driver that compiles it: that of the CUDA release which brought it
# (PTX ISA release history; driver table of the CUDA release notes). Minor-version compatibility
# does not extend to PTX.
_PTX_DRIVERS = {
    (6, 3): "410.48", (6, 4): "418.39", (6, 5): "440.33", (7, 0): "450.51.05",
    (7, 1): "455.23", (7, 2): "460.27.03", (7, 3): "465.19.01", (7, 4): "470.42.01",
    (7, 5): "495.29.05", (7, 6): "510.39.01", (7, 7): "515.43.04", (7, 8): "520.61.05",
    (8, 0): "525.60.13", (8, 1): "530.30.02", (8, 2): "535.54.03", (8, 3): "545.23.06",
    (8, 4): "550.54.14", (8, 5): "555.42.02", (8, 7): "570.26", (8, 8): "575.51.03",
    (9, 0): "580",
}  # fmt: skip


def ptx_driver(isa: tuple[int, int]) -> str:
    """Return the least Linux driver that compiles PTX of this ISA version, or `unknown`."""
    known = [version for version in _PTX_DRIVERS if version >= isa]
    return _PTX_DRIVERS[min(known)] if known else "unknown"


def judge_gpus(listing: Listing, devices: Sequence[ComputeCapability]) -> GpuAudit:
    """Hold every fat binary of a file against each device."""
    used = {name for device in devices for name in _serving(listing, device)}
    sizes = listing.sizes
    return GpuAudit(
        judgements=tuple(_judge(listing, device) for device in devices),
        superfluous=tuple((name, size) for name, size in sizes.items() if name not in used),
    )


def _judge(listing: Listing, device: ComputeCapability) -> GpuJudgement:
    counts = dict.fromkeys(Service, 0)
    for container in listing.containers:
        counts[_service(container, device)] += container.count
    jits = [c for c in listing.containers if _service(c, device) is Service.JIT]
    isas = [code.ptx_isa for c in jits for code in [_best_ptx(c.codes, device)] if code]
    return GpuJudgement(
        device=device,
        service=_service(listing.containers[0], device) if listing.containers else Service.MISSING,
        native=counts[Service.NATIVE],
        jit=counts[Service.JIT],
        missing=counts[Service.MISSING],
        driver=ptx_driver(max(isas)) if isas else "",
    )


def _service(container: Container, device: ComputeCapability) -> Service:
    if any(c.kind is CodeKind.CUBIN and cubin_runs(c.arch, device) for c in container.codes):
        return Service.NATIVE
    return Service.JIT if _best_ptx(container.codes, device) else Service.MISSING


def _best_ptx(codes: Iterable[Code], device: ComputeCapability) -> Code | None:
    fitting = [code for code in codes if code.kind is CodeKind.PTX and code.arch <= device]
    return max(fitting, key=lambda code: code.arch, default=None)


def _serving(listing: Listing, device: ComputeCapability) -> Iterable[str]:
    """Name what the driver would choose for a device: the nearest cubin, else the newest PTX."""
    for container in listing.containers:
        cubins = [
            code
            for code in container.codes
            if code.kind is CodeKind.CUBIN and cubin_runs(code.arch, device)
        ]
        best = max(cubins, key=lambda code: code.arch, default=None)
        chosen = best or _best_ptx(container.codes, device)
        if chosen is not None:
            yield chosen.name
