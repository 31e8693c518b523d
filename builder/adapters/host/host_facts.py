"""What this host has to run an image: GPUs and their driver, the CPU's level, WSL."""

import csv
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pynvml

from builder.adapters import process
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import highest_level, parse_level
from builder.domain.version import DriverVersion
from builder.errors import CellarError, UsageError

Devices = tuple[tuple[Gpu, ...], DriverVersion | None]
Value = TypeVar("Value")

_ROOT = Path("/")
_MIB = 1024**2
_NVIDIA, _DISPLAY = "0x10de", "0x03"  # PCI vendor, PCI class of display controllers
_WSL_TOOL = "usr/lib/wsl/lib/nvidia-smi"  # where WSL has it, off PATH


def read_host(variables: Mapping[str, str], root: Path = _ROOT) -> Host:
    """Read this host, then let CELLAR_OVERRIDE_GPU, _DRIVER, _ISA and _WSL stand in for it.

    GPU is `none` or capabilities (`8.6` or `8.6,9.0`), DRIVER is `none` or a version, ISA a psABI
    level, WSL 0 or 1. What a driver does not say is None in the result, never a guess.
    """
    gpus, driver = ask_nvml() or ask_nvidia_smi(root) or ((), None)
    host = Host(
        isa=highest_level(_cpu_flags(root)),
        gpus=gpus,
        driver=driver,
        wsl="microsoft" in _text(root / "proc/sys/kernel/osrelease").lower(),
        idle_gpu=not gpus and _has_nvidia_device(root),
    )
    return overridden(host, variables)


def overridden(host: Host, variables: Mapping[str, str]) -> Host:
    """Let the CELLAR_OVERRIDE_ variables that are set stand in for what was read."""
    values = {
        name.removeprefix("CELLAR_OVERRIDE_"): text.strip()
        for name, text in variables.items()
        if name.startswith("CELLAR_OVERRIDE_")
    }
    if (text := values.get("GPU")) is not None:
        gpus = tuple(_named_gpus(text))
        host = replace(host, gpus=gpus, idle_gpu=False, driver=host.driver if gpus else None)
    if (text := values.get("DRIVER")) is not None:
        driver = None if text in ("", "none") else _parsed("DRIVER", DriverVersion.parse, text)
        host = replace(host, driver=driver)
    if text := values.get("ISA"):
        host = replace(host, isa=_parsed("ISA", parse_level, text))
    if text := values.get("WSL"):
        host = replace(host, wsl=text != "0")
    return host


def ask_nvml() -> Devices | None:
    """Ask the driver's own library; None where it is absent or does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        driver = DriverVersion.parse(pynvml.nvmlSystemGetDriverVersion())
        return tuple(_nvml_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())), driver
    except (pynvml.NVMLError, UsageError):
        return None
    finally:
        pynvml.nvmlShutdown()


def ask_nvidia_smi(root: Path = _ROOT) -> Devices | None:
    """Ask nvidia-smi; None where it is absent or fails. Drivers below 510 know no compute_cap."""
    tool = shutil.which("nvidia-smi") or shutil.which(root / _WSL_TOOL)
    if tool is None:
        return None
    for capability in ("compute_cap,", ""):
        fields = f"driver_version,{capability}memory.total,name"
        try:
            text = process.run([tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
        except CellarError:
            continue
        return parse_nvidia_smi(text.splitlines(), with_capability=bool(capability))
    return None


def parse_nvidia_smi(lines: Iterable[str], *, with_capability: bool) -> Devices | None:
    """Read the CSV of driver_version, compute_cap (where asked for), memory.total in MiB, name."""
    driver, gpus = None, []
    for row in csv.reader(lines, skipinitialspace=True):
        if len(row) != 3 + with_capability:
            continue
        driver = _or_none(DriverVersion.parse, row[0])
        capability = _or_none(ComputeCapability.parse, row[1]) if with_capability else None
        memory = int(row[-2]) * _MIB if row[-2].isdecimal() else None
        gpus.append(Gpu(name=row[-1], capability=capability, memory=memory))
    return (tuple(gpus), driver) if gpus else None


def _nvml_gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=str(pynvml.nvmlDeviceGetName(handle)),
        capability=ComputeCapability(major, minor),
        memory=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _named_gpus(text: str) -> Iterator[Gpu]:
    for part in re.split(r"[,; ]+", text):
        if part not in ("", "none"):
            capability = _parsed("GPU", ComputeCapability.parse, part)
            yield Gpu(name="GPU", capability=capability)


def _parsed(name: str, parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except UsageError as error:
        message = f"CELLAR_OVERRIDE_{name}: {error}"
        raise UsageError(message, hint=error.hint) from None


def _or_none(parse: Callable[[str], Value], text: str) -> Value | None:
    try:
        return parse(text)
    except UsageError:
        return None


def _cpu_flags(root: Path) -> list[str]:
    match = re.search(r"^flags\s*:(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1].split() if match else []


def _has_nvidia_device(root: Path) -> bool:
    return any(
        _text(device / "vendor").strip() == _NVIDIA and _text(device / "class").startswith(_DISPLAY)
        for device in (root / "sys/bus/pci/devices").glob("*")
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
