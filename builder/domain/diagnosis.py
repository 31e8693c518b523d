"""What stands between a host and the cells, each finding with its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass

from builder.domain.compatibility import Compatibility, cells_in_words, judge, working
from builder.domain.host import Host
from builder.domain.isa import IsaLevel
from builder.domain.matrix import Cell, Matrix
from builder.domain.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a host has beside its processors' kinds; sizes are in bytes, None where unknown.

    `gpu_containers` says whether a container engine can hand a GPU to a container;
    `linux_driver` whether a Linux NVIDIA driver lies in this root file system.
    """

    cpus: int
    memory: int | None
    store_free: int | None
    gpu_containers: bool = False
    linux_driver: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or unknown; `code` is stable, for programs."""

    code: str
    verdict: Verdict
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a host is good for: each cell judged, and all findings for the one in question."""

    cells: tuple[Compatibility, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the worst finding."""
        verdicts = {finding.verdict for finding in self.findings}
        for verdict in (Verdict.VIOLATION, Verdict.UNKNOWN):
            if verdict in verdicts:
                return verdict
        return Verdict.OK


def diagnose(
    cell: Cell, host: Host, resources: Resources, matrix: Matrix, *, isa: IsaLevel | None = None
) -> Diagnosis:
    """Hold `host` against the matrix, and name everything that keeps `cell` from running there."""
    found = judge(cell, host, matrix, isa=isa)
    of_cell = [
        Finding(reason.code, reason.verdict, reason.text, _remedy(reason.code, cell, host, matrix))
        for reason in found.reasons
    ]
    of_host = host_findings(host, resources) if cell.cuda and host.gpus else ()
    return Diagnosis(
        cells=tuple(judge(each, host, matrix) for each in matrix.cells),
        findings=(*of_cell, *of_host),
    )


def host_findings(host: Host, resources: Resources) -> Iterator[Finding]:
    """Yield what keeps the GPUs of a host from its containers."""
    if not resources.gpu_containers:
        yield Finding(
            "gpu-containers",
            Verdict.VIOLATION,
            "no container engine here can hand a GPU to a container",
            "install the NVIDIA container toolkit, then `nvidia-ctk runtime configure`",
        )
    if host.wsl and resources.linux_driver:
        yield Finding(
            "wsl-linux-driver",
            Verdict.VIOLATION,
            "a Linux NVIDIA driver is installed inside WSL and hides the Windows one",
            "remove the Linux packages (libcuda1, libnvidia-*); WSL needs the Windows driver only",
        )


def _remedy(code: str, cell: Cell, host: Host, matrix: Matrix) -> str:
    others = cells_in_words(working(host, matrix), matrix)
    other = f"take another cell: {others} runs here"
    match code:
        case "cpu-level" if matrix.reaches(cell, host.isa):
            return f"build it for this CPU: ISA={host.isa}"
        case "cpu-level":
            return f"take another host: {others} runs here"
        case "gpu-unknown":
            return "name the compute capability, as CELLAR_OVERRIDE_GPU=8.6"
        case "driver-unknown":
            return "name the driver, as CELLAR_OVERRIDE_DRIVER=580.65.06"
        case "driver-old" | "ptx-driver" | "gpu-absent" if host.gpus or host.idle_gpu:
            where = "the Windows" if host.wsl else "NVIDIA"
            return f"install {where} driver {_floor(code, cell, host, matrix)} or later, or {other}"
        case _:
            return other


def _floor(code: str, cell: Cell, host: Host, matrix: Matrix) -> str:
    assert cell.cuda is not None  # noqa: S101 - only cells with CUDA have such reasons
    row = matrix.tables.release if code == "ptx-driver" else matrix.tables.family
    return str(row(cell.cuda).oldest(wsl=host.wsl))
