"""The arithmetic of compatibility: cell x GPU x driver x CPU, with the least reason.

The rules and where they come from: a cubin runs on its own major at the same minor or a later one,
and a driver compiles PTX for its own capability or a later one (NVIDIA's compatibility guides of
each architecture); any driver from the family's floor on runs every toolkit of a CUDA major (minor
version compatibility), yet compiles only PTX of toolkits that are not newer than itself; newer
drivers run everything older; under WSL the Windows driver counts, and only from Pascal on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from builder.domain.gpu import CodeMode, ComputeCapability, DeviceCode
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, Matrix, StandIn
from builder.domain.tables import DriverFamily, DriverRelease
from builder.domain.verdict import Verdict

_FIRST_UNDER_WSL = ComputeCapability(6, 0)  # CUDA on WSL user guide: Pascal or later


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a cell does not run, or why nobody can say; `code` is stable, for programs."""

    code: str
    text: str
    verdict: Verdict = Verdict.VIOLATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """Whether an image of `cell` runs on a host; `mode` is the worst over the host's GPUs."""

    cell: Cell
    mode: CodeMode
    reasons: tuple[Reason, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the worst that a reason says; without a reason it runs."""
        verdicts = {reason.verdict for reason in self.reasons}
        for verdict in (Verdict.VIOLATION, Verdict.UNKNOWN):
            if verdict in verdicts:
                return verdict
        return Verdict.OK

    @property
    def sentence(self) -> str:
        """Return all reasons as one clause, empty when it runs."""
        return " and ".join(reason.text for reason in self.reasons)


def judge(cell: Cell, host: Host, matrix: Matrix, *, isa: IsaLevel | None = None) -> Compatibility:
    """Say whether `cell`, built for the level `isa`, runs on `host`, and if not, why."""
    reasons = [*cpu_reasons(isa or cell.isa, host)]
    if cell.cuda is None:
        return Compatibility(cell=cell, mode=CodeMode.NONE, reasons=tuple(reasons))
    if cell.stand_in is not None:
        reasons = [stand_in_reason(cell.stand_in), *reasons]
        return Compatibility(cell=cell, mode=CodeMode.NONE, reasons=tuple(reasons))
    mode = min((device_mode(cell, gpu, matrix) for gpu in host.gpus), default=CodeMode.NONE)
    reasons = [
        *gpu_reasons(host, lambda gpu: device_reason(cell, gpu, matrix)),
        *_driver_reasons(cell, host, matrix, mode),
        *reasons,
    ]
    return Compatibility(cell=cell, mode=mode, reasons=tuple(reasons))


def stand_in_reason(stand_in: StandIn) -> Reason:
    """Say why nobody is offered a stand-in: its torch has another CUDA than its toolkit."""
    text = f"it only stands in for {stand_in.cell}, to try its build, and no GPU runs it"
    return Reason("stand-in", text)


def device_mode(cell: Cell, gpu: Gpu, matrix: Matrix) -> CodeMode:
    """Say how a cell's device code runs on a GPU: both torch's own and that of the ops."""
    if gpu.capability is None:
        return CodeMode.NONE
    torch = matrix.tables.torch_build(cell.torch).code
    return min(torch.mode(gpu.capability), cell.ops_code.mode(gpu.capability))


def device_reason(cell: Cell, gpu: Gpu, matrix: Matrix) -> Reason | None:
    """Say why a cell's device code does not run on a GPU; None when it does."""
    if cell.stand_in is not None:
        return stand_in_reason(cell.stand_in)
    row = matrix.tables.architecture(gpu.capability) if gpu.capability else None
    if row is not None and row.host != "x86-64":
        text = f"{row.name} {gpu.capability} ({row.gpus}) sits in {row.host} boards only"
        return Reason("gpu-board", text)
    torch = matrix.tables.torch_build(cell.torch).code
    return code_reason(f"torch {cell.torch}", torch, cell.ops_code, gpu)


def code_reason(name: str, torch: DeviceCode, ops: DeviceCode, gpu: Gpu) -> Reason | None:
    """Say why the device code of a torch, called `name`, or of the ops does not run on a GPU."""
    if gpu.capability is None:
        return Reason(
            "gpu-unknown", f"the compute capability of {gpu.name} is unknown", Verdict.UNKNOWN
        )
    if torch.mode(gpu.capability) is CodeMode.NONE:
        return Reason("gpu-arch", f"{name} has {torch}, nothing for {gpu}")
    if ops.mode(gpu.capability) is CodeMode.NONE:
        return Reason("ops-arch", f"the ops have {ops}, nothing for {gpu}")
    return None


def working(host: Host, matrix: Matrix) -> tuple[Cell, ...]:
    """Return the cells that run on a host, in the matrix's order."""
    return tuple(cell for cell in matrix.offered if judge(cell, host, matrix).verdict is Verdict.OK)


def cells_in_words(cells: tuple[Cell, ...], matrix: Matrix) -> str:
    """Name the CUDA cells among `cells` as one clause: `cu118 or later`; else what is left."""
    ids = [cell.id for cell in matrix.offered if cell.cuda]
    found = [cell.id for cell in cells if cell.cuda]
    if not found:
        return " or ".join(cell.id for cell in cells) or "no cell"
    if len(found) > 1 and found == ids[ids.index(found[0]) :]:
        return f"{found[0]} or later"
    if len(found) > 1 and found == ids[: len(found)]:
        return f"{found[-1]} or earlier"
    return " or ".join(found)


def explain(cell: Cell, host: Host, matrix: Matrix) -> str:
    """Return one sentence: why `cell` does not run on `host`, and which cells do."""
    found = judge(cell, host, matrix)
    if found.verdict is Verdict.OK:
        return f"{cell.id} runs on this host"
    others = cells_in_words(working(host, matrix), matrix)
    return f"{cell.id}: {found.sentence}; {others} runs here"


def cpu_reasons(isa: IsaLevel, host: Host) -> Iterator[Reason]:
    """Yield why a CPU cannot run what was built for a level."""
    if host.isa < isa:
        text = f"the image is built for {isa} and this CPU has {host.isa}"
        yield Reason("cpu-level", text)


def gpu_reasons(host: Host, why_not: Callable[[Gpu], Reason | None]) -> Iterator[Reason]:
    """Yield why a host's GPUs cannot run the device code that `why_not` judges, each kind once."""
    if not host.gpus:
        seen = "an NVIDIA GPU that no driver serves" if host.idle_gpu else "no NVIDIA GPU"
        yield Reason("gpu-absent", f"this host has {seen}")
    for gpu in dict.fromkeys(host.gpus):
        reason = why_not(gpu)
        if reason is not None:
            yield reason
        elif host.wsl and gpu.capability is not None and gpu.capability < _FIRST_UNDER_WSL:
            yield Reason("gpu-wsl", f"WSL serves GPUs from Pascal (6.0) on, not {gpu}")


def _driver_reasons(cell: Cell, host: Host, matrix: Matrix, mode: CodeMode) -> Iterator[Reason]:
    if cell.cuda is not None and host.gpus:
        floors = matrix.tables.family(cell.cuda), matrix.tables.release(cell.cuda)
        yield from driver_reasons(floors, host, mode)


def driver_reasons(
    floors: tuple[DriverFamily, DriverRelease], host: Host, mode: CodeMode
) -> Iterator[Reason]:
    """Yield why a driver does not serve a toolkit: too old for its major, or for its PTX."""
    family, release = floors
    if host.driver is None:
        yield Reason("driver-unknown", "the driver's version is unknown", Verdict.UNKNOWN)
        return
    where = "Windows driver" if host.wsl else "driver"
    floor = family.oldest(wsl=host.wsl)
    if host.driver < floor:
        text = f"{where} {host.driver} is older than {floor}, the oldest for CUDA"
        yield Reason("driver-old", f"{text} {family.cuda_major}.x")
    elif mode is CodeMode.JIT:
        yield from _ptx_reasons(release, host, where)


def _ptx_reasons(release: DriverRelease, host: Host, where: str) -> Iterator[Reason]:
    oldest = release.oldest(wsl=host.wsl)
    if oldest is None:
        text = f"no table says which {where} compiles PTX of CUDA {release.cuda}"
        yield Reason("ptx-unknown", text, Verdict.UNKNOWN)
    elif host.driver is not None and host.driver < oldest:
        text = f"{where} {host.driver} is older than {oldest}, the oldest for PTX of CUDA"
        yield Reason("ptx-driver", f"{text} {release.cuda}")
