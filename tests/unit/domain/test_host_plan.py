from dataclasses import replace

import pytest

from builder.domain.host_plan import EngineName, HostPlan, HostState, plan
from builder.errors import HostError

FRESH = HostState(
    root=True,
    installed=frozenset(),
    daemon_answers=False,
    containerd_store=False,
    available=frozenset({"docker.io", "containerd", "runc", "buildah"}),
    debian_suite="bookworm",
)
READY = replace(
    FRESH,
    installed=frozenset({"docker", "buildx", "dockerd"}),
    daemon_answers=True,
    containerd_store=True,
)
DOCKER = ("docker.io", "docker-cli", "docker-buildx", "containerd", "runc")
UBUNTU = frozenset({"docker.io", "docker-buildx", "containerd", "runc"})


@pytest.mark.parametrize(
    ("engine", "state", "expected"),
    [
        pytest.param("docker", READY, {}, id="docker is ready"),
        pytest.param(
            "docker",
            FRESH,
            {"packages": DOCKER, "add_suite": "trixie", "start_daemon": True},
            id="bookworm takes docker from the next suite",
        ),
        pytest.param(
            "docker",
            replace(FRESH, available=UBUNTU, debian_suite=""),
            {
                "packages": ("docker.io", "docker-buildx", "containerd", "runc"),
                "start_daemon": True,
            },
            id="ubuntu has it all, its client inside docker.io",
        ),
        pytest.param(
            "docker",
            replace(READY, daemon_answers=False),
            {"start_daemon": True},
            id="installed but not running",
        ),
        pytest.param("buildah", FRESH, {"packages": ("buildah", "runc")}, id="buildah is missing"),
        pytest.param(
            "buildah",
            replace(FRESH, installed=frozenset({"buildah", "runc"})),
            {},
            id="buildah is ready",
        ),
    ],
)
def test_plan(engine: str, state: HostState, expected: dict[str, object]) -> None:
    assert plan(EngineName(engine), state) == HostPlan(engine=EngineName(engine), **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "state", "message"),
    [
        pytest.param("docker", replace(FRESH, root=False), "without root", id="no root"),
        pytest.param("buildah", replace(FRESH, available=None), "without apt", id="no apt"),
        pytest.param(
            "docker",
            replace(READY, daemon_answers=False, root=False),
            "only root can start it",
            id="daemon stopped, no root",
        ),
        pytest.param(
            "docker",
            replace(READY, containerd_store=False),
            "containerd image store is off",
            id="classic image store",
        ),
    ],
)
def test_what_cannot_be_installed_is_named(engine: str, state: HostState, message: str) -> None:
    with pytest.raises(HostError, match=message) as raised:
        plan(EngineName(engine), state)
    assert raised.value.hint


def test_sentences_tell_every_step() -> None:
    steps = plan(EngineName.DOCKER, FRESH).sentences()
    assert [step.split()[0] for step in steps] == ["add", "install", "start"]
