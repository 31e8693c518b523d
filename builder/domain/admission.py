"""An image held against a host before anything runs: it runs, by JIT, not, or nobody can say."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from builder.domain.compatibility import (
    Reason,
    code_reason,
    cpu_reasons,
    driver_reasons,
    gpu_reasons,
    stand_in_reason,
)
from builder.domain.diagnosis import Resources, host_findings
from builder.domain.gpu import CodeMode
from builder.domain.host import Gpu, Host
from builder.domain.matrix import Matrix
from builder.domain.resolve import Request, select
from builder.domain.sealed import GpuNeeds, Sealed
from builder.domain.verdict import Verdict
from builder.errors import CellarError

# One sample of six cameras on a CPU took 1.45 GB at its most (1.38 GiB by its own report).
MEMORY = 2_000_000_000
DISK = 1_000_000_000  # for results, pictures and logs, beside the image itself


class Answer(Enum):
    """What a host can do with an image."""

    RUNS = "runs"
    JIT = "runs with JIT"
    NOT = "will not run"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer with its reasons, and the best cell for this host where it is another one.

    `instead` is empty where no cell runs here, or where this one does.
    """

    answer: Answer
    reasons: tuple[Reason, ...]
    instead: str = ""

    @property
    def sentence(self) -> str:
        """Return the answer as one sentence."""
        why = " and ".join(reason.text for reason in self.reasons)
        text = f"{self.answer.value}, because {why}" if why else self.answer.value
        return f"{text}; the best cell for this host is {self.instead}" if self.instead else text


def admit(
    sealed: Sealed, host: Host, resources: Resources, *, unpacked: int | None = None
) -> Admission:
    """Hold the needs of an image against a host.

    `unpacked` is what it still has to take on disk, in bytes; None where it is there already.
    """
    mode = _mode(sealed.gpu, host) if sealed.gpu else CodeMode.NATIVE
    reasons = (
        *cpu_reasons(sealed.isa, host),
        *(_gpu_reasons(sealed, sealed.gpu, host, mode) if sealed.gpu else ()),
        *(_container_reasons(host, resources) if sealed.gpu and host.gpus else ()),
        *_resource_reasons(resources, (unpacked or 0) + DISK),
    )
    return Admission(answer=_answer(reasons, mode), reasons=reasons)


def best_instead(sealed: Sealed, matrix: Matrix, host: Host) -> str:
    """Name the best cell for a host where it is another than this image's; else nothing."""
    try:
        best = select(matrix, Request(), host).cell.id
    except CellarError:
        return ""
    return best if best != sealed.cell else ""


def _mode(gpu: GpuNeeds, host: Host) -> CodeMode:
    modes = (
        min(gpu.torch.mode(one.capability), gpu.ops.mode(one.capability))
        for one in host.gpus
        if one.capability
    )
    return min(modes, default=CodeMode.NONE)


def _gpu_reasons(sealed: Sealed, gpu: GpuNeeds, host: Host, mode: CodeMode) -> Iterator[Reason]:
    if sealed.stand_in is not None:
        yield stand_in_reason(sealed.stand_in)
        return

    def why_not(one: Gpu) -> Reason | None:
        return code_reason(f"torch {sealed.torch}", gpu.torch, gpu.ops, one)

    yield from gpu_reasons(host, why_not)
    if host.gpus:
        yield from driver_reasons((gpu.family, gpu.release), host, mode)


def _container_reasons(host: Host, resources: Resources) -> Iterator[Reason]:
    for one in host_findings(host, resources):
        yield Reason(one.code, one.text, one.verdict)


def _resource_reasons(resources: Resources, disk: int) -> Iterator[Reason]:
    if resources.memory is not None and resources.memory < MEMORY:
        text = f"this host has {_gb(resources.memory)} of memory, and one sample takes"
        yield Reason("memory", f"{text} {_gb(MEMORY)}")
    if resources.store_free is not None and resources.store_free < disk:
        text = f"{_gb(resources.store_free)} of disk are free, and {_gb(disk)} are needed"
        yield Reason("disk", text)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _answer(reasons: tuple[Reason, ...], mode: CodeMode) -> Answer:
    verdicts = {reason.verdict for reason in reasons}
    if Verdict.VIOLATION in verdicts:
        return Answer.NOT
    if Verdict.UNKNOWN in verdicts:
        return Answer.UNKNOWN
    return Answer.JIT if mode is CodeMode.JIT else Answer.RUNS
