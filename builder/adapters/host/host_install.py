"""Read what this host has for an engine, and carry out a plan that installs what it lacks."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from builder.adapters import process
from builder.adapters.environment import variables
from builder.domain.host_plan import DOCKER_SUITE, PACKAGES, EngineName, HostPlan, HostState, plan
from builder.errors import CellarError, EngineError, HostError, NetworkError

_DAEMON_CONFIG = Path("/etc/docker/daemon.json")
_DAEMON_LOG = Path("/var/log/cellar-dockerd.log")
_APT_SOURCE = Path(f"/etc/apt/sources.list.d/cellar-{DOCKER_SUITE}.sources")
_APT_PIN = Path(f"/etc/apt/preferences.d/cellar-{DOCKER_SUITE}")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_START_LIMIT_S = 60


def needed(engine: EngineName) -> HostPlan:
    """Return what `engine` lacks here; a HostError where this host cannot install it."""
    return plan(engine, read_state(engine))


def read_state(engine: EngineName) -> HostState:
    """Look at PATH, the Docker daemon and, where `engine` lacks something, at apt."""
    programs = ("docker", "dockerd", "buildah", "runc")
    installed = {name for name in programs if shutil.which(name, path=_admin_path())}
    if "docker" in installed and _succeeds(["docker", "buildx", "version"]):
        installed.add("buildx")
    answers = "docker" in installed and _succeeds(["docker", "info"])
    needed = {"docker", "buildx"} if engine is EngineName.DOCKER else {"buildah", "runc"}
    ready = needed <= installed and (answers or engine is EngineName.BUILDAH)
    return HostState(
        root=os.geteuid() == 0,
        installed=frozenset(installed),
        daemon_answers=answers,
        containerd_store=answers and "io.containerd.snapshotter" in _driver_status(),
        available=None if ready or not shutil.which("apt-get") else _available(),
        debian_suite=_debian_suite(),
    )


def carry_out(steps: HostPlan, say: Callable[[str], None]) -> None:
    """Do what `steps` says, telling each step through `say` before it is done."""
    if steps.empty:
        return
    say(f"{steps.engine} is not ready on this host; Cellar will now:")
    for sentence in steps.sentences():
        say(f"  - {sentence}")
    if steps.add_suite:
        _add_suite(steps.add_suite)
    if steps.packages:
        _install(steps, say)
    if steps.start_daemon:
        _start_docker(say)


def _succeeds(argv: list[str]) -> bool:
    try:
        process.run(argv)
    except CellarError:
        return False
    return True


def _admin_path() -> str:
    # A user's PATH need not name the folder where dockerd lies.
    return variables().get("PATH", "") + ":/usr/sbin:/sbin"


def _driver_status() -> str:
    return process.run(["docker", "info", "--format", "{{json .DriverStatus}}"])


def _available() -> frozenset[str]:
    found = _candidates()
    if not found and os.geteuid() == 0:  # a fresh machine has no package lists yet
        process.run(["apt-get", "update"])
        found = _candidates()
    return found


def _candidates() -> frozenset[str]:
    names = sorted({name for group in PACKAGES.values() for name in group})
    policy = process.run(["apt-cache", "policy", *names], env={**variables(), "LC_ALL": "C"})
    found, current = set(), ""
    for line in policy.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            current = line[:-1]
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found.add(current)
    return frozenset(found)


def _debian_suite() -> str:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return ""
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    return facts.get("VERSION_CODENAME", "") if facts.get("ID") == "debian" else ""


def _add_suite(suite: str) -> None:
    mirror = _debian_mirror()
    _APT_SOURCE.write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {_KEYRING}\n"
    )
    names = " ".join(name for name in PACKAGES[EngineName.DOCKER] if name != "runc")
    _APT_PIN.write_text(
        f"Package: *\nPin: release n={suite}\nPin-Priority: -10\n\n"
        f"Package: {names}\nPin: release n={suite}\nPin-Priority: 990\n"
    )


def _debian_mirror() -> str:
    """Return the mirror from which this host takes its own suite."""
    targets = process.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(CODENAME)", "Created-By: Packages"]
    )
    for line in targets.splitlines():
        uri, _, suite = line.partition("|")
        if suite == _debian_suite():
            return uri
    message = "no configured apt source offers this host's own Debian suite"
    raise HostError(message, hint="add one under /etc/apt/sources.list.d, then run again")


def _install(steps: HostPlan, say: Callable[[str], None]) -> None:
    env = {**variables(), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        process.stream(["apt-get", "update"], lambda _: None, env=env)
        process.stream(
            ["apt-get", "install", "-y", "--no-install-recommends", *steps.packages],
            lambda line: say(f"  {line}") if line.startswith(("Get:", "Setting up")) else None,
            env=env,
        )
    except process.ToolError as error:
        message = f"apt could not install {' '.join(steps.packages)}: {error.tail.splitlines()[-1]}"
        raise NetworkError(message, hint=error.hint) from error


def _start_docker(say: Callable[[str], None]) -> None:
    if not _DAEMON_CONFIG.exists():
        _DAEMON_CONFIG.parent.mkdir(exist_ok=True)
        _DAEMON_CONFIG.write_text(json.dumps({"features": {"containerd-snapshotter": True}}) + "\n")
    if Path("/run/systemd/system").is_dir():
        process.run(["systemctl", "restart", "docker"])
    else:
        daemon = shutil.which("dockerd", path=_admin_path())
        pid = process.start_daemon([daemon or "dockerd"], log=_DAEMON_LOG)
        say(f"  dockerd runs as process {pid}; its log is {_DAEMON_LOG}")
    limit = time.monotonic() + _START_LIMIT_S
    while not _succeeds(["docker", "info"]):
        if time.monotonic() > limit:
            message = f"the Docker daemon did not answer within {_START_LIMIT_S} s"
            raise EngineError(message, hint=f"its log, {_DAEMON_LOG}, says why")
        time.sleep(0.5)
