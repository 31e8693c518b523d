"""Host facts: what nvidia-smi and NVML print, /proc and /sys, and the overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from builder.adapters.host import host_facts
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.version import DriverVersion
from builder.errors import UsageError

DRIVER = DriverVersion.parse("580.159.04")
H200 = Gpu(name="NVIDIA H200", capability=ComputeCapability(9, 0), memory=143771 * 1024**2)


@pytest.mark.parametrize(
    ("lines", "with_capability", "found"),
    [
        pytest.param(
            ["580.159.04, 9.0, 143771, NVIDIA H200"], True, ((H200,), DRIVER), id="data-centre"
        ),
        pytest.param(
            [
                "512.15, 8.6, 8192, NVIDIA GeForce RTX 3080 Laptop GPU",
                "512.15, 6.1, 4096, Old, GPU",
            ],
            True,
            (
                (
                    Gpu(
                        name="NVIDIA GeForce RTX 3080 Laptop GPU",
                        capability=ComputeCapability(8, 6),
                        memory=8192 * 1024**2,
                    ),
                ),
                DriverVersion.parse("512.15"),
            ),
            id="line-of-another-shape-is-left-out",
        ),
        pytest.param(
            ["470.57.02, 11019, GeForce RTX 2080 Ti"],
            False,
            (
                (
                    Gpu(
                        name="GeForce RTX 2080 Ti",
                        capability=None,
                        memory=11019 * 1024**2,
                    ),
                ),
                DriverVersion.parse("470.57.02"),
            ),
            id="driver-without-compute-cap",
        ),
        pytest.param(
            ["[N/A], [N/A], [N/A], NVIDIA GB10"],
            True,
            ((Gpu(name="NVIDIA GB10", capability=None, memory=None),), None),
            id="nothing-available",
        ),
        pytest.param(["No devices were found"], True, None, id="no-devices"),
        pytest.param([], True, None, id="nothing"),
    ],
)
def test_nvidia_smi_is_read(
    lines: Sequence[str],
    with_capability: bool,  # noqa: FBT001 - a column of the table
    found: host_facts.Devices | None,
) -> None:
    assert host_facts.parse_nvidia_smi(lines, with_capability=with_capability) == found


def fake_tool(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        pytest.param("echo 580.159.04, 9.0, 143771, NVIDIA H200", ((H200,), DRIVER), id="new"),
        pytest.param(
            'case "$1" in *compute_cap*) echo "not a valid field"; exit 2;; esac\n'
            "echo 470.57.02, 40536, A100",
            (
                (Gpu(name="A100", capability=None, memory=40536 * 1024**2),),
                DriverVersion.parse("470.57.02"),
            ),
            id="driver-that-has-no-compute-cap",
        ),
        pytest.param("echo NVIDIA-SMI has failed; exit 9", None, id="no-driver"),
    ],
)
def test_nvidia_smi_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    found: host_facts.Devices | None,
) -> None:
    fake_tool(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host_facts.ask_nvidia_smi() == found


def test_under_wsl_nvidia_smi_is_found_off_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "usr" / "lib" / "wsl" / "lib"
    folder.mkdir(parents=True)
    fake_tool(folder, "echo 580.159.04, 9.0, 143771, NVIDIA H200")
    monkeypatch.setenv("PATH", "")
    assert host_facts.ask_nvidia_smi(tmp_path) == ((H200,), DRIVER)
    assert host_facts.ask_nvidia_smi(tmp_path / "elsewhere") is None


def fake_nvml(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.159.04",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetCudaComputeCapability": lambda _: (9, 0),
        "nvmlDeviceGetName": lambda _: "NVIDIA H200",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=143771 * 1024**2),
    }
    for name, function in {**answers, **functions}.items():
        monkeypatch.setattr(pynvml, name, function)


def fail(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


@pytest.mark.parametrize(
    ("functions", "found"),
    [
        pytest.param({}, ((H200,), DRIVER), id="answers"),
        pytest.param({"nvmlDeviceGetCount": lambda: 0}, ((), DRIVER), id="no-gpu"),
        pytest.param({"nvmlInit": fail}, None, id="no-library"),
        pytest.param({"nvmlDeviceGetCudaComputeCapability": fail}, None, id="fails-midway"),
        pytest.param({"nvmlSystemGetDriverVersion": lambda: "?"}, None, id="odd-version"),
    ],
)
def test_nvml_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    functions: Mapping[str, object],
    found: host_facts.Devices | None,
) -> None:
    fake_nvml(monkeypatch, **functions)
    assert host_facts.ask_nvml() == found


V2 = "fpu sse2 cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3"


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(
            {
                "proc/cpuinfo": f"processor\t: 0\nflags\t\t: {V2}\nbugs\t: x\n",
                "proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
            },
            Host(isa=IsaLevel.V2),
            id="no-gpu",
        ),
        pytest.param(
            {
                "proc/cpuinfo": "flags\t\t: fpu sse2\n",
                "proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n",
                "sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086\n",
                "sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n",
            },
            Host(isa=IsaLevel.V1, wsl=True),
            id="wsl-with-another-gpu",
        ),
        pytest.param(
            {
                "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
                "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
            },
            Host(isa=IsaLevel.V1, idle_gpu=True),
            id="gpu-without-driver",
        ),
        pytest.param(
            {
                "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
                "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
            },
            Host(isa=IsaLevel.V1),
            id="nvidia-sound-alone",
        ),
        pytest.param({}, Host(isa=IsaLevel.V1), id="nothing-to-read"),
    ],
)
def test_a_host_without_driver_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], found: Host
) -> None:
    fake_nvml(monkeypatch, nvmlInit=fail)
    monkeypatch.setenv("PATH", "")
    assert host_facts.read_host({}, lay_out(tmp_path, files)) == found


HERE = Host(isa=IsaLevel.V3, gpus=(H200,), driver=DRIVER)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        pytest.param({"PATH": "/bin"}, HERE, id="none"),
        pytest.param(
            {"CELLAR_OVERRIDE_GPU": "none"}, Host(isa=IsaLevel.V3), id="gpu-none-takes-the-driver"
        ),
        pytest.param({"CELLAR_OVERRIDE_GPU": ""}, Host(isa=IsaLevel.V3), id="gpu-empty"),
        pytest.param(
            {"CELLAR_OVERRIDE_GPU": "8.6, 12.0"},
            Host(
                isa=IsaLevel.V3,
                gpus=(
                    Gpu(name="GPU", capability=ComputeCapability(8, 6)),
                    Gpu(name="GPU", capability=ComputeCapability(12, 0)),
                ),
                driver=DRIVER,
            ),
            id="gpus",
        ),
        pytest.param(
            {"CELLAR_OVERRIDE_DRIVER": "535.54.03"},
            Host(isa=IsaLevel.V3, gpus=(H200,), driver=DriverVersion.parse("535.54.03")),
            id="driver",
        ),
        pytest.param(
            {"CELLAR_OVERRIDE_DRIVER": "none"}, Host(isa=IsaLevel.V3, gpus=(H200,)), id="no-driver"
        ),
        pytest.param(
            {"CELLAR_OVERRIDE_ISA": "x86-64-v2", "CELLAR_OVERRIDE_WSL": "1"},
            Host(isa=IsaLevel.V2, gpus=(H200,), driver=DRIVER, wsl=True),
            id="isa-and-wsl",
        ),
        pytest.param(
            {"CELLAR_OVERRIDE_ISA": "", "CELLAR_OVERRIDE_WSL": "0"}, HERE, id="empty-isa-no-wsl"
        ),
    ],
)
def test_overrides_stand_in_for_what_was_read(variables: Mapping[str, str], found: Host) -> None:
    assert host_facts.overridden(HERE, variables) == found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("GPU", "sm_86", "'sm_86' is not a compute capability", id="gpu"),
        pytest.param("DRIVER", "new", "'new' is not a driver version", id="driver"),
        pytest.param("ISA", "v2", "ISA level 'v2' is unknown", id="isa"),
    ],
)
def test_an_override_that_cannot_be_read_is_named(name: str, text: str, message: str) -> None:
    variable = f"CELLAR_OVERRIDE_{name}"
    with pytest.raises(UsageError) as caught:
        host_facts.overridden(HERE, {variable: text})
    assert str(caught.value) == f"{variable}: {message}"
    assert caught.value.hint
