"""Tests of a built image: `cellar verify` runs them, and so does pytest by hand.

    pytest tests/image --cell cpu [--isa LEVEL --gpu X.Y --engine buildah --target devel]
    pytest tests/image --cell cu130 --bundle FOLDER --driver /usr/lib/x86_64-linux-gnu

The second tests an image that was laid out as files (bundle.py), on a machine without an engine.
Each test belongs to a level of verification by its `level` mark; what it saw goes into the evidence
through `record_property("seen", ...)`.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult

from builder.adapters import process
from builder.adapters.engines import oci
from builder.adapters.engines.buildah_engine import BuildahEngine
from builder.adapters.engines.docker_engine import DockerEngine
from builder.cli import building, selection, wiring
from builder.commands.build import Order
from builder.domain.comparison import ImageFacts
from builder.domain.engine import Engine, RunOptions
from builder.domain.image import ImageRef
from builder.domain.lockfile import Lock

from .bundle import Bundle, BundleBackend

Run = Callable[..., str]
Record = Callable[[str, object], None]

_WHICH = "import torch as t; print(t.cuda.get_device_name() if t.cuda.is_available() else 'cpu')"
_DEVICE = ("python", "-c", _WHICH)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cellar", "which image")
    for name in ("cell", "isa", "gpu"):
        group.addoption(f"--{name}", default="", help=f"as in `cellar build --{name}`")
    group.addoption("--engine", default="docker", choices=building.ENGINES)
    group.addoption("--target", default="runtime", choices=("runtime", "devel"))
    group.addoption("--bundle", type=Path, help="test the image in this folder, with no engine")
    group.addoption("--driver", type=Path, help="with --bundle: the NVIDIA driver's libraries")
    group.addoption("--results", type=Path, help="write one JSON line for each test")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "level(name): the level of verification: L0, L1, L2 or L3")
    config.addinivalue_line("markers", "optional: needs what only some machines have")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    results = item.config.getoption("--results")
    level = item.get_closest_marker("level")
    decided = report.when == "call" or report.outcome != "passed"
    if results is not None and level is not None and decided:
        seen = dict(item.user_properties).get("seen", "")
        row = {
            "name": item.name,
            "level": level.args[0],
            "outcome": report.outcome,
            "seconds": call.duration,
            "detail": seen if report.outcome == "passed" else _reason(report),
            "required": item.get_closest_marker("optional") is None,
        }
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return report


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skip: path, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:2000]


@pytest.fixture(scope="session")
def order(request: pytest.FixtureRequest) -> Order:
    """Return the image under test, as it would be built."""
    option = request.config.getoption
    args = argparse.Namespace(
        image="bevformer",
        cell=option("--cell") or "cpu",
        cuda=None,
        isa=option("--isa") or None,
        gpu=option("--gpu") or None,
    )
    chosen, target = selection.select(args), option("--target")
    if option("--bundle"):  # whoever laid it out had every source; this machine has no store
        lock = wiring.lock(args.image, chosen.cell)
        return Order(recipe=building.recipe(chosen), lock=lock, target=target)
    return building.order(chosen, target=target)


@pytest.fixture(scope="session")
def lock(order: Order) -> Lock:
    return order.lock


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    option = request.config.getoption
    if option("--bundle"):
        return Bundle(option("--bundle").resolve(), option("--driver"))
    return building.engine(option("--engine"))


@pytest.fixture(scope="session")
def image(engine: Engine, order: Order) -> ImageRef:
    found = engine.find(order.tag)
    if found is None:
        pytest.fail(f"no image {order.tag}: `cellar build --cell {order.recipe.cell.id}` makes it")
    return found


@pytest.fixture(scope="session")
def facts(engine: Engine, image: ImageRef, tmp_path_factory: pytest.TempPathFactory) -> ImageFacts:
    """Return what the image is made of: its layers and settings."""
    layout = tmp_path_factory.mktemp("saved") / "layout"
    engine.save(image, into=layout)
    return oci.read_image(layout)


@pytest.fixture(scope="session")
def run(engine: Engine, image: ImageRef) -> Run:
    """Run a program in a fresh container without network, and return its stdout."""

    def run(*argv: str, **options: object) -> str:
        return engine.run(image, argv, RunOptions(**options))  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session", autouse=True)
def head(request: pytest.FixtureRequest, engine: Engine, image: ImageRef, run: Run) -> None:
    """Say in the results of a bundle which image ran, and on what."""
    results = request.config.getoption("--results")
    if results is not None and isinstance(engine, Bundle):
        row = {"digest": image.digest, "engine": engine.version(), "device": run(*_DEVICE).strip()}
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="session")
def read_only(engine: Engine) -> bool:
    """Say whether the engine starts containers with a read-only root; buildah does not."""
    return not isinstance(engine, BuildahEngine)


@pytest.fixture(scope="session")
def host(engine: Engine, image: ImageRef) -> Iterator[testinfra.host.Host]:
    """Testinfra's view of one container of the image, which lives as long as the session."""
    if isinstance(engine, Bundle):
        yield testinfra.host.Host(BundleBackend(engine))
    elif isinstance(engine, DockerEngine):
        with engine.lasting(image) as name:
            yield testinfra.get_host(f"docker://root@{name}")
    else:
        name = process.run(["buildah", "from", "--pull-never", image.tag]).strip()
        try:
            yield testinfra.host.Host(_Buildah(name))
        finally:
            process.run(["buildah", "rm", name])


class _Buildah(BaseBackend):  # type: ignore[misc]
    """A working container of buildah, as testinfra's docker backend is for one of Docker."""

    NAME = "buildah"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(self.name)

    def run(self, command: str, *args: str, **_: object) -> CommandResult:
        line = self.get_command(command, *args)
        return self.run_local(
            "buildah run --runtime runc --network none --user 0:0 %s -- /bin/sh -c %s",
            self.name,
            line,
        )
