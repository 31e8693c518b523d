"""What must be installed or started before an engine works here, as a plan to be shown first."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from builder.errors import HostError


class EngineName(StrEnum):
    """The two engines."""

    DOCKER = "docker"
    BUILDAH = "buildah"


# Debian's and Ubuntu's package names. Docker's build plugin (buildx) is a package of its own, and
# bookworm has none: there Docker comes whole from the next suite (DOCKER_SUITE).
PACKAGES: Mapping[EngineName, tuple[str, ...]] = {
    EngineName.DOCKER: ("docker.io", "docker-cli", "docker-buildx", "containerd", "runc"),
    EngineName.BUILDAH: ("buildah", "runc"),
}
DOCKER_SUITE = "trixie"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """What was found on this host, read by an adapter.

    `available` holds the packages that the configured apt sources offer; None where there is no
    apt. `debian_suite` is the codename where the host is Debian, else an empty string.
    """

    root: bool
    installed: frozenset[str]  # programs on PATH: docker, buildx, dockerd, buildah, runc
    daemon_answers: bool
    containerd_store: bool
    available: frozenset[str] | None
    debian_suite: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """Steps that make an engine work: packages to install, a suite to add, a daemon to start."""

    engine: EngineName
    packages: tuple[str, ...] = ()
    add_suite: str = ""
    start_daemon: bool = False

    @property
    def empty(self) -> bool:
        """Say whether there is nothing to do."""
        return not (self.packages or self.add_suite or self.start_daemon)

    def sentences(self) -> tuple[str, ...]:
        """Say, for people, what will be done."""
        steps = []
        if self.add_suite:
            steps.append(
                f"add Debian {self.add_suite} from this host's own mirror as an apt source, "
                "pinned so that nothing but Docker comes from it"
            )
        if self.packages:
            steps.append(f"install with apt: {' '.join(self.packages)}")
        if self.start_daemon:
            steps.append("start the Docker daemon, with its containerd image store on")
        return tuple(steps)


def plan(engine: EngineName, state: HostState) -> HostPlan:
    """Say what `engine` lacks here; a HostError where this host cannot install it by itself."""
    match engine:
        case EngineName.DOCKER:
            return _docker_plan(state)
        case EngineName.BUILDAH:
            missing = tuple(name for name in ("buildah", "runc") if name not in state.installed)
            _refuse_unless_installable(engine, missing, state)
            return HostPlan(engine=engine, packages=missing)


def _docker_plan(state: HostState) -> HostPlan:
    engine = EngineName.DOCKER
    if state.daemon_answers and {"docker", "buildx"} <= state.installed:
        _refuse_without_containerd_store(state)
        return HostPlan(engine=engine)
    complete = {"docker", "buildx", "dockerd"} <= state.installed
    packages = () if complete else PACKAGES[engine]
    _refuse_unless_installable(engine, packages, state)
    if not state.root:
        message = "the Docker daemon does not answer, and only root can start it"
        raise HostError(message, hint="start it (`sudo systemctl start docker`), then run again")
    offered = state.available or frozenset()
    lacking = [name for name in packages if name not in offered]
    suite = DOCKER_SUITE if lacking and state.debian_suite == "bookworm" else ""
    if not suite:  # Ubuntu's docker.io holds its client: there is no docker-cli package
        packages = tuple(name for name in packages if name in offered)
    return HostPlan(engine=engine, packages=packages, add_suite=suite, start_daemon=True)


def _refuse_without_containerd_store(state: HostState) -> None:
    if not state.containerd_store:
        message = "Docker's containerd image store is off, and only it keeps an image's digest"
        hint = (
            'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and '
            "restart Docker (images of the old store are hidden until it is off again), "
            "or use ENGINE=buildah"
        )
        raise HostError(message, hint=hint)


def _refuse_unless_installable(
    engine: EngineName, packages: tuple[str, ...], state: HostState
) -> None:
    if not packages or (state.root and state.available is not None):
        return
    why = "without apt" if state.available is None else "without root"
    message = f"{engine} is not complete here and cannot be installed {why}"
    raise HostError(message, hint=f"install these and run again: {' '.join(packages)}")
