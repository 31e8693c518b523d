"""What is known of a host that is to run an image."""

from dataclasses import dataclass

from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel
from builder.domain.version import DriverVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU; what could not be read is None, `memory` is in bytes."""

    name: str
    capability: ComputeCapability | None
    memory: int | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.capability or 'compute capability unknown'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One x86-64 host.

    Under WSL the driver is the Windows one, and so is its version. `idle_gpu` says that the PCI
    bus shows an NVIDIA GPU although no driver answers for it.
    """

    isa: IsaLevel
    gpus: tuple[Gpu, ...] = ()
    driver: DriverVersion | None = None
    wsl: bool = False
    idle_gpu: bool = False
