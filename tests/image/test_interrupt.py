"""Ctrl-C while a step or a test runs: it ends at once, and nothing of it is left behind."""

import os
import signal
import subprocess  # noqa: TID251 - the test interrupts a process of its own
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from builder.adapters import process
from builder.domain.engine import Engine

from .test_hermetic import contexts  # noqa: F401 - a fixture

pytestmark = pytest.mark.engine

_CALLS = [(os.kill, signal.SIGINT), (os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)]
_DOCKERFILE = """\
FROM bootstrap AS slow
RUN --network=none echo begun && exec sleep {seconds}
FROM scratch AS files
COPY --from=slow /etc/passwd /
"""
# The command line with a verb of our own, so that an interrupt is shown as users see it.
_BUILD = """\
import sys
from pathlib import Path
from builder import cli
from builder.cli import building, wiring
from builder.domain.engine import BuildRequest
name, dockerfile, bootstrap = sys.argv[1:]
folder = Path(dockerfile).parent
request = BuildRequest(dockerfile=Path(dockerfile), target="files", epoch=1, cold=True,
                       contexts={"bootstrap": Path(bootstrap)})
cli._dispatch = lambda _: building.engine(name).build_files(
    request, into=folder / "files", progress=wiring.progress())
raise SystemExit(cli.main([]))
"""


def _sleeping(seconds: int) -> list[int]:
    """Find the step; how long it sleeps tells it from any other process."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if words[:2] == [b"sleep", str(seconds).encode()]:
            found.append(int(place.parent.name))
    return found


def _wait(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def _left(engine: Engine) -> Mapping[str, str]:
    containers = {
        "docker": ["docker", "ps", "--all", "--quiet"],
        "buildah": ["buildah", "containers", "--all", "--quiet"],
    }
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "buildah" in line]
    return {"containers": process.run(containers[engine.name]), "mounts": "\n".join(mounts)}


each_way = pytest.mark.parametrize(("signalled", "how"), _CALLS, ids=["cellar", "terminal", "kill"])


@each_way
def test_ctrl_c_leaves_nothing(
    signalled: Callable[[int, int], None],
    how: signal.Signals,
    engine: Engine,
    contexts: Mapping[str, Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    before, seconds = _left(engine), 100_000 + os.getpid() * 10 + _CALLS.index((signalled, how))
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(_DOCKERFILE.format(seconds=seconds))
    argv = [sys.executable, "-c", _BUILD, engine.name, str(dockerfile), str(contexts["bootstrap"])]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert _wait(lambda: _sleeping(seconds), 120), "the step never began"
        signalled(child.pid, how)
        _, words = child.communicate(timeout=60)
    assert child.returncode == 130, words
    assert words.splitlines()[-1] == "interrupted; the same command continues where it stopped"
    assert _wait(lambda: not _sleeping(seconds), 30), "the step still runs"
    assert _left(engine) == before
    assert not (tmp_path / "files").exists() or not list((tmp_path / "files").iterdir())


@pytest.mark.parametrize(("signalled", "how"), _CALLS[1:], ids=["terminal", "kill"])
def test_ctrl_c_ends_a_verification(
    signalled: Callable[[int, int], None], how: signal.Signals, engine: Engine
) -> None:
    if engine.find("cellar/bevformer:cpu") is None:
        pytest.skip("cellar/bevformer:cpu is not built: `make image CELL=cpu` first")
    before = _left(engine)
    argv = [sys.executable, "-m", "builder", "verify", "--cell", "cpu", "--engine", engine.name]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert _wait(lambda: _left(engine) != before, 120), "no container was started"
        signalled(child.pid, how)
        _, words = child.communicate(timeout=60)
    assert child.returncode == 130, words
    assert words.splitlines()[-1] == "interrupted; the same command continues where it stopped"
    assert _left(engine) == before
