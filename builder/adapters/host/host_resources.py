"""How much this host has, and whether its container engines know GPUs."""

import os
import shutil
from pathlib import Path

from builder.domain.diagnosis import Resources

_ROOT = Path("/")
_KIB = 1024
# Where Debian's and NVIDIA's packages put a Linux driver; WSL keeps its own in usr/lib/wsl.
_LINUX_DRIVER = ("usr/lib/x86_64-linux-gnu/libcuda.so.1", "usr/lib/x86_64-linux-gnu/nvidia/current")
# What lets an engine hand GPUs over: NVIDIA's hook or a CDI description of the devices.
_GPU_TOOLS = ("nvidia-container-runtime", "nvidia-container-cli", "nvidia-ctk")
_CDI = ("etc/cdi", "var/run/cdi")


def read_resources(store: Path, root: Path = _ROOT) -> Resources:
    """Read this host; `store` is where downloads go, or will go."""
    return Resources(
        cpus=len(os.sched_getaffinity(0)),
        memory=_memory(root, "MemTotal"),
        store_free=_free(store),
        gpu_containers=any(shutil.which(tool) for tool in _GPU_TOOLS)
        or any(list((root / folder).glob("nvidia*")) for folder in _CDI),
        linux_driver=any((root / path).exists() for path in _LINUX_DRIVER),
    )


def available_memory(root: Path = _ROOT) -> int | None:
    """Return the bytes of memory that new programs may take now; None where nobody says."""
    return _memory(root, "MemAvailable")


def _memory(root: Path, field: str) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * _KIB
    return None


def _free(folder: Path) -> int | None:
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None
