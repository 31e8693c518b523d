"""Memory, room and GPU tools, read from a root file system laid out for the test."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.adapters.host import host_resources


def lay_out(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n")
    return root


@pytest.mark.parametrize(
    ("names", "memory", "gpu_containers", "linux_driver"),
    [
        pytest.param([], None, False, False, id="nothing"),
        pytest.param(["proc/meminfo"], 16 * 1024**2, False, False, id="memory"),
        pytest.param(["etc/cdi/nvidia.yaml"], None, True, False, id="cdi"),
        pytest.param(
            ["usr/lib/x86_64-linux-gnu/libcuda.so.1"], None, False, True, id="linux-driver"
        ),
        pytest.param(["usr/lib/wsl/lib/libcuda.so.1"], None, False, False, id="wsl-driver"),
    ],
)
def test_a_host_is_read(  # noqa: PLR0913, PLR0917 - the columns of the table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: Sequence[str],
    memory: int | None,
    gpu_containers: bool,  # noqa: FBT001
    linux_driver: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("PATH", "")
    found = host_resources.read_resources(tmp_path, lay_out(tmp_path, names))
    assert (found.memory, found.gpu_containers, found.linux_driver) == (
        memory,
        gpu_containers,
        linux_driver,
    )
    assert found.cpus >= 1


def test_memory_without_its_line_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemFree: 1 kB\n")
    assert host_resources.read_resources(tmp_path, tmp_path).memory is None
    assert host_resources.available_memory(tmp_path) is None


def test_what_new_programs_may_take_is_less_than_all(tmp_path: Path) -> None:
    assert host_resources.available_memory(lay_out(tmp_path, ["proc/meminfo"])) == 2048


def test_a_tool_on_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-ctk"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host_resources.read_resources(tmp_path, tmp_path).gpu_containers


@pytest.mark.parametrize(
    "below", [pytest.param("", id="there"), pytest.param("not/yet/made", id="to-be-made")]
)
def test_the_room_for_the_store_is_that_of_its_disk(tmp_path: Path, below: str) -> None:
    found = host_resources.read_resources(tmp_path / below).store_free
    assert found is not None
    assert found > 0


def test_a_store_that_cannot_be_looked_at_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("shutil.disk_usage", refuse)
    assert host_resources.read_resources(tmp_path).store_free is None
