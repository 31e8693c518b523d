"""Workloads on the host's own CPU, with a program in docker's place."""

from pathlib import Path

import pytest

from builder.adapters.proof import native
from builder.domain.isa import IsaLevel, highest_level
from builder.domain.proof import Ending, Workload
from builder.errors import HostError

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu sse3 cx16 lahf_lm\n"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the program notes its words; its last word but one says how it ends."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    note = tmp_path / "words"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{note}\nfor last; do :; done\necho oops >&2\nexit $last\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return note


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("0", Ending.PASSED),
        ("1", Ending.FAILED),
        ("124", Ending.TIMEOUT),
        ("137", Ending.TIMEOUT),
        ("132", Ending.SIGILL),
    ],
)
def test_a_workload_ends_as_its_container_does(docker: Path, code: str, ending: Ending) -> None:
    outcome = native.NativeImage("x:1").run(Workload(name="w", argv=("a", code)), limit=9)
    assert outcome.ending is ending
    assert bool(outcome.sites) is (ending is Ending.SIGILL)
    words = docker.read_text().split()
    assert words[:4] == ["run", "--rm", "--network", "none"]
    assert words[-3:] == ["x:1", "a", code]


@pytest.mark.usefixtures("docker")
def test_an_image_that_cannot_be_started_proves_nothing() -> None:
    with pytest.raises(HostError, match=r"^x:1 cannot be started: oops$"):
        native.NativeImage("x:1").run(Workload(name="w", argv=("125",)), limit=9)


def test_the_cpu_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    assert native.cpu_name(path) == "Some CPU @ 2 GHz"
    assert highest_level(native.cpu_flags(path)) is IsaLevel.V1
    assert (native.cpu_name(tmp_path), native.cpu_flags(tmp_path)) == ("a CPU without a name", ())
