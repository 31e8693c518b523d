"""No step of a build has a network, whatever its Dockerfile says or leaves out."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.adapters import process
from builder.adapters.engines.bootstrap import write_bootstrap
from builder.cli import storage, wiring
from builder.commands.build import Order
from builder.domain.engine import BuildRequest, Engine
from builder.errors import EngineError

pytestmark = pytest.mark.engine

_PROBES = Path(__file__).with_name("probes")
# What a probe can reach where nothing holds it back: the servers below stand on this very host.
_REACHED = ("tcp-to-the-host", "tcp-to-loopback", "udp-to-the-host", "abstract-socket")
_DOCKERFILE = """\
FROM bootstrap AS probe
RUN --mount=type=bind,from=probes,target=/mnt/probes \\
    /mnt/probes/probes {words} > /result
FROM scratch AS files
COPY --from=probe /result /
"""
_NEEDS_NETWORK = """\
FROM bootstrap AS greedy
RUN bash -c 'exec 3<>/dev/tcp/{host}/{port}'
FROM scratch AS files
COPY --from=greedy /etc/passwd /
"""


@dataclass(frozen=True)
class Servers:
    """Servers on this host that answer whoever reaches them."""

    host: str
    tcp: int
    udp: int
    abstract: str

    @property
    def words(self) -> str:
        return f"{self.host} {self.tcp} {self.udp} {self.abstract}"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("0.0.0.0", 0)))  # noqa: S104
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("0.0.0.0", 0))  # noqa: S104
        path = stack.enter_context(socket.socket(socket.AF_UNIX))
        name = f"cellar-probe-{tcp.getsockname()[1]}"
        path.bind(f"\0{name}")
        path.listen()

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    _, sender = udp.recvfrom(16)
                    udp.sendto(b"pong\n", sender)

        threading.Thread(target=answer, daemon=True).start()
        yield Servers(_own_address(), tcp.getsockname()[1], udp.getsockname()[1], name)


def _own_address() -> str:
    """Return the address under which this host reaches the world, which sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def contexts(order: Order, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("contexts")
    store = storage.store()
    debs = [store.path(deb) for deb in order.lock.debs["essential"]]
    write_bootstrap(debs, folder / "bootstrap", epoch=1)
    (folder / "probes").mkdir()
    (folder / "probes" / "probes").write_bytes(_PROBES.read_bytes())
    (folder / "probes" / "probes").chmod(0o755)
    return {name: folder / name for name in ("bootstrap", "probes")}


def _build(engine: Engine, text: str, contexts: Mapping[str, Path], into: Path) -> None:
    dockerfile = into.parent / "Dockerfile"
    dockerfile.write_text(text)
    request = BuildRequest(
        dockerfile=dockerfile, target="files", contexts=contexts, epoch=1, cold=True
    )
    engine.build_files(request, into=into, progress=wiring.progress())


def _answers(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.splitlines())


def test_the_probes_reach_out_where_nothing_holds_them_back(servers: Servers) -> None:
    found = _answers(process.run(["bash", str(_PROBES), *servers.words.split()]))
    assert {name: found[name] for name in _REACHED} == dict.fromkeys(_REACHED, "yes")
    assert found["interfaces"] == "yes"


def test_a_step_reaches_nothing(
    engine: Engine, servers: Servers, contexts: Mapping[str, Path], tmp_path: Path
) -> None:
    _build(engine, _DOCKERFILE.format(words=servers.words), contexts, tmp_path / "files")
    found = _answers((tmp_path / "files" / "result").read_text())
    assert len(found) == 12
    assert {name for name, answer in found.items() if answer != "no"} == set()


def test_a_step_that_needs_the_network_fails_the_build(
    engine: Engine, servers: Servers, contexts: Mapping[str, Path], tmp_path: Path
) -> None:
    text = _NEEDS_NETWORK.format(host=servers.host, port=servers.tcp)
    with pytest.raises(EngineError, match="the build of files failed\ngreedy") as raised:
        _build(engine, text, {"bootstrap": contexts["bootstrap"]}, tmp_path / "files")
    assert "Network is unreachable" in str(raised.value)
    assert str(raised.value.hint).startswith(("run it again by hand", "by hand"))
