"""Many Cellars on one store: each byte is downloaded once, and nobody waits for the dead."""

import os
import signal
import time
from pathlib import Path

import pytest

from builder.adapters.storage.store import Store
from builder.adapters.storage.store_care import HostStoreCare
from builder.commands.store import verify
from tests.bad_server import Resource
from tests.fault.processes import fork, served, serving, wait
from tests.store_examples import Silent, artifact, content, downloads, job

PROCESSES = 16
ROUNDS = 20
BLOBS = 64


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_sixteen_processes_ask_for_each_blob_once(turn: int, tmp_path: Path) -> None:
    data = {f"/{n}": content(turn * BLOBS + n, 500 + n * 300) for n in range(BLOBS)}
    made = {path: artifact(one, f"a{path[1:]}") for path, one in data.items()}
    with serving({path: Resource(content=one) for path, one in data.items()}) as url:

        def work() -> None:
            store = Store(tmp_path / "store")
            jobs = [job(one, [url(path)]) for path, one in made.items()]
            failed = downloads(store, read_s=30).download(jobs, Silent())
            if failed or not all(store.path(one).is_file() for one in made.values()):
                raise AssertionError

        children = [fork(work) for _ in range(PROCESSES)]
        assert [wait(child, seconds=60) for child in children] == [0] * PROCESSES
        requests, amounts = served(url)
    requests.pop("/log", None)
    assert requests == dict.fromkeys(data, 1)
    assert amounts == {path: len(one) for path, one in data.items()}
    assert verify(HostStoreCare(Store(tmp_path / "store")), Silent()).findings == ()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_who_waits_goes_on_where_the_dead_one_stopped(
    number: signal.Signals, tmp_path: Path
) -> None:
    data = content(7, 2_000_000)
    made, root = artifact(data), tmp_path / "store"
    with serving({"/a": Resource(content=data)}, pause_s=0.005) as url:

        def work() -> None:
            if downloads(Store(root), read_s=10).download([job(made, [url("/a")])], Silent()):
                raise AssertionError

        Store(root).close()
        first = fork(work)
        partial = root / "partial" / made.sha256
        while not (partial.exists() and partial.stat().st_size > len(data) // 4):
            time.sleep(0.005)
        second = fork(work)
        time.sleep(0.05)
        os.kill(first, number)
        assert wait(first) == (130 if number is signal.SIGINT else -number)
        assert wait(second) == 0
        requests, amounts = served(url)
    assert requests["/a"] == 2
    # What was on its way when the first one died is sent again: the sockets' buffers at most.
    assert amounts["/a"] < 1.5 * len(data)
    assert Store(root).path(made).read_bytes() == data
