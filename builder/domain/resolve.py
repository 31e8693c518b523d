"""From a request and a host to one cell, or to one sentence that says why there is none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from builder.domain.compatibility import (
    Compatibility,
    Reason,
    cells_in_words,
    code_reason,
    device_mode,
    device_reason,
    explain,
    judge,
)
from builder.domain.fault import did_you_mean
from builder.domain.gpu import CodeMode, ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, Matrix, arch_list
from builder.domain.tables import Rebuild
from builder.domain.verdict import Verdict
from builder.domain.version import CudaVersion
from builder.errors import HostError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asked for; what is None or empty is left to Cellar."""

    cell: str | None = None
    cuda: CudaVersion | None = None
    isa: IsaLevel | None = None
    gpus: tuple[ComputeCapability, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cell to build, for which CPUs and GPUs, why, and what to know of it on this host."""

    image: str
    cell: Cell
    isa: IsaLevel
    gpu_archs: tuple[ComputeCapability, ...]
    ptx: ComputeCapability | None
    why: str
    warnings: tuple[str, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()  # the wheels that are compiled anew for this level

    @property
    def variant(self) -> str:
        """Return the cell's id, with whatever differs from the cell as the matrix has it."""
        parts = [self.cell.id]
        if self.isa is not self.cell.isa:
            parts.append(str(self.isa))
        if self.gpu_archs != self.cell.gpu_archs:
            parts.append("sm" + "_".join(arch.sm.removeprefix("sm_") for arch in self.gpu_archs))
        return "-".join(parts)

    @property
    def words(self) -> str:
        """Return the options that choose this cell and level again."""
        isa = f" --isa {self.own_isa}" if self.own_isa else ""
        return f"--cell {self.cell.id}{isa}"

    @property
    def own_isa(self) -> str:
        """Return the level where it is not the cell's; else nothing."""
        return str(self.isa) if self.isa is not self.cell.isa else ""

    @property
    def narrower(self) -> str:
        """Return the GPUs where they are fewer than the cell's, as `8.6;9.0`; else nothing."""
        return self.arch_list if self.gpu_archs != self.cell.gpu_archs else ""

    @property
    def arch_list(self) -> str:
        """Return TORCH_CUDA_ARCH_LIST, as `8.6;9.0+PTX`; empty without a GPU."""
        return arch_list(self.gpu_archs, self.ptx)


def select(matrix: Matrix, request: Request, host: Host) -> Selection:
    """Choose the cell for a request; UsageError with the nearest cells where none serves it.

    Without a cell or a CUDA version it is the best for `host`: the newest that runs natively on
    its GPUs with its driver, or that without CUDA where there is no GPU. A GPU that no cell can
    use is a HostError: Cellar never falls back to the CPU in silence.
    """
    for capability in request.gpus:
        check_known(capability, matrix)
    named = _named(matrix, request)
    if named:
        cell, why = _serving(named, request, matrix)[-1], "asked for"
    elif request.gpus:
        served = _serving([cell for cell in matrix.offered if cell.cuda], request, matrix)
        cell, why = _best_here(served, host, matrix), "the best for the GPUs asked for"
    else:
        cell, why = _best(matrix, host, request.isa)
    isa = request.isa or cell.isa
    if not matrix.reaches(cell, isa):
        lowest = min(level for level in IsaLevel if matrix.reaches(cell, level))
        raise UsageError(below(cell, isa, matrix), hint=f"ISA={lowest} is the lowest for it")
    rebuilds = matrix.tables.rebuilds(cell.id, isa)
    archs, ptx = _narrowed(cell, request.gpus)
    return Selection(
        image=matrix.image,
        cell=cell,
        isa=isa,
        gpu_archs=archs,
        ptx=ptx,
        why=why,
        warnings=(*_warnings(judge(cell, host, matrix, isa=isa)), *_losses(rebuilds, isa)),
        rebuilds=rebuilds,
    )


def _losses(rebuilds: Sequence[Rebuild], isa: IsaLevel) -> Iterator[str]:
    for one in rebuilds:
        yield f"{one} is compiled from its sdist for {isa}, without {one.lacks}"


def below(cell: Cell, isa: IsaLevel, matrix: Matrix) -> str:
    """Say in one line why a cell is not built for a level: library, function and instruction."""
    floors = [row for row in matrix.tables.floors(cell.id) if row.level > isa and not row.rebuild]
    why = str(floors[0]) if floors else "nobody has audited its wheels below that"
    return f"cell {cell.id} is built for {cell.isa} or later, not for {isa}: {why}"


def _named(matrix: Matrix, request: Request) -> Sequence[Cell]:
    if request.cell is None:
        return _with_cuda(matrix, request.cuda) if request.cuda else ()
    cell = matrix.cell(request.cell)
    if request.cuda and request.cuda != cell.cuda:
        has = f"CUDA {cell.cuda}" if cell.cuda else "no CUDA"
        message = f"cell {cell.id} has {has}, not CUDA {request.cuda}"
        raise UsageError(message, hint="ask for the cell or for the CUDA version, not for both")
    return (cell,)


def _with_cuda(matrix: Matrix, cuda: CudaVersion) -> Sequence[Cell]:
    found = [cell for cell in matrix.offered if cell.cuda == cuda]
    if found:
        return found
    have = [(cell.cuda, cell.id) for cell in matrix.offered if cell.cuda]
    below = [f"{name} (CUDA {version})" for version, name in have if version < cuda]
    above = [f"{name} (CUDA {version})" for version, name in have if version > cuda]
    message = f"no cell has CUDA {cuda}; the nearest: {' and '.join([*below[-1:], *above[:1]])}"
    raise UsageError(message, hint="`cellar matrix` lists the cells")


def check_known(capability: ComputeCapability, matrix: Matrix) -> None:
    """Refuse a compute capability that was asked for and that no GPU has, as a UsageError."""
    known = {str(row.capability): row for row in matrix.tables.gpu_architectures}
    if str(capability) not in known:
        message = (
            f"no GPU has compute capability {capability}{did_you_mean(str(capability), known)}"
        )
        raise UsageError(message, hint="known are " + ", ".join(known))


def _serving(cells: Sequence[Cell], request: Request, matrix: Matrix) -> Sequence[Cell]:
    """Keep the cells whose code runs on all GPUs asked for; none is a UsageError that says why."""
    gpus = [asked_gpu(capability, matrix) for capability in request.gpus]
    served = [cell for cell in cells if not _unserved(cell, gpus, matrix)]
    if served:
        return served
    cell = cells[-1]
    gpu = _unserved(cell, gpus, matrix)[0]
    others = tuple(other for other in matrix.offered if not _unserved(other, gpus, matrix))
    beside = " and ".join(str(other) for other in gpus if other != gpu)
    message = f"{_text(cell, gpu, matrix)}; {cells_in_words(others, matrix)} serves it"
    if beside and not others:
        message += f" beside {beside}"
    raise UsageError(message, hint="`cellar matrix` shows which cell serves which GPU")


def _text(cell: Cell, gpu: Gpu, matrix: Matrix) -> str:
    reason = _why_not(cell, gpu, matrix) if cell.cuda else None
    return reason.text if reason else f"cell {cell.id} has no CUDA, nothing for {gpu}"


def _why_not(cell: Cell, gpu: Gpu, matrix: Matrix) -> Reason | None:
    """Say why a cell is not built for a GPU; a stand-in only has to compile for it."""
    if cell.stand_in is None:
        return device_reason(cell, gpu, matrix)
    return code_reason(cell.id, cell.ops_code, cell.ops_code, gpu)


def asked_gpu(capability: ComputeCapability, matrix: Matrix) -> Gpu:
    """Return a GPU of which only the compute capability was named."""
    row = matrix.tables.architecture(capability)
    return Gpu(name=row.name if row else "an unknown GPU", capability=capability)


def _unserved(cell: Cell, gpus: Sequence[Gpu], matrix: Matrix) -> list[Gpu]:
    return [gpu for gpu in gpus if not cell.cuda or _why_not(cell, gpu, matrix)]


def _best_here(cells: Sequence[Cell], host: Host, matrix: Matrix) -> Cell:
    runs = [cell for cell in cells if judge(cell, host, matrix).verdict is Verdict.OK]
    return (runs or cells)[-1]


def _best(matrix: Matrix, host: Host, isa: IsaLevel | None) -> tuple[Cell, str]:
    plain = next(cell for cell in matrix.cells if cell.cuda is None)
    if not host.gpus and not host.idle_gpu:
        if host.isa < (isa or plain.isa):
            raise HostError(explain(plain, host, matrix), hint=_elsewhere(plain, host, matrix))
        return plain, "this host has no NVIDIA GPU"
    for part in _parts(host):
        judged = [judge(cell, part, matrix, isa=isa) for cell in matrix.offered if cell.cuda]
        running = [found for found in judged if found.verdict is Verdict.OK]
        if running:
            best = max(running, key=lambda found: (found.mode, found.cell.cuda))
            how = "natively" if best.mode is CodeMode.NATIVE else "by PTX"
            gpus = " and ".join(str(gpu) for gpu in dict.fromkeys(part.gpus))
            return best.cell, f"the newest that runs {how} on {gpus} with driver {host.driver}"
    newest = matrix.offered[-1]
    raise HostError(explain(newest, host, matrix), hint=_remedy(host, matrix, newest, plain))


def _parts(host: Host) -> Iterator[Host]:
    """Yield the host with all its GPUs, then with one at a time, the most capable first."""
    yield host
    if len(set(host.gpus)) > 1:
        for gpu in sorted(host.gpus, key=lambda gpu: gpu.capability or (0, 0), reverse=True):
            yield replace(host, gpus=(gpu,))


def _elsewhere(plain: Cell, host: Host, matrix: Matrix) -> str:
    if matrix.reaches(plain, host.isa):
        return f"CELL={plain.id} ISA={host.isa} builds it for this CPU"
    return f"CELL={plain.id} builds it for another host"


def _remedy(host: Host, matrix: Matrix, newest: Cell, plain: Cell) -> str:
    if host.isa < plain.isa:
        return _elsewhere(plain, host, matrix)
    on_cpu = f"CELL={plain.id} builds for the CPU"
    if any(gpu.capability is None for gpu in host.gpus):
        return f"name it, as CELLAR_OVERRIDE_GPU=8.6, or {on_cpu}"
    if host.gpus and host.driver is None:
        return f"name it, as CELLAR_OVERRIDE_DRIVER=580.65.06, or {on_cpu}"
    if any(device_mode(newest, gpu, matrix) is CodeMode.NONE for gpu in host.gpus):
        return on_cpu
    floor = matrix.tables.family(newest.cuda).oldest(wsl=host.wsl) if newest.cuda else ""
    return f"install NVIDIA driver {floor} or later, or {on_cpu}"


def _narrowed(
    cell: Cell, gpus: Sequence[ComputeCapability]
) -> tuple[tuple[ComputeCapability, ...], ComputeCapability | None]:
    """Keep of a cell's architectures only what the GPUs asked for need."""
    if not gpus:
        return cell.gpu_archs, cell.ptx
    needed = set()
    for gpu in gpus:
        runs = [arch for arch in cell.gpu_archs if arch.major == gpu.major and arch <= gpu]
        needed.add(max(runs) if runs else cell.ptx or cell.gpu_archs[-1])
    ptx = cell.ptx if cell.ptx in needed else None
    return tuple(sorted(needed)), ptx


def _warnings(found: Compatibility) -> tuple[str, ...]:
    return tuple(f"{found.cell.id} on this host: {reason.text}" for reason in found.reasons)
