"""Every system call of a put, a download, a get and a collection fails once, or is the last one.

strace injects the fault into a child: for each kind of call and for EVERY time that it is made.
"""

import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.adapters.storage.store import Store
from builder.adapters.storage.store_care import HostStoreCare
from builder.commands.store import verify
from builder.errors import HostError, IntegrityError, NetworkError, StorageError
from tests.fault.processes import fork, wait
from tests.store_examples import Silent, artifact, downloads, job, keep

DATA, OLD, GARBAGE = b"bytes" * 50_000, b"old bytes", b"garbage"
KEY = "op-key-one"
CALLS = "openat,mkdirat,write,fsync,fchmod,flock,rename,renameat,linkat,unlinkat,utimensat,utime"
ERRORS = ("EIO", "ENOSPC", "EACCES")
ERRORS_OF_OURS = (HostError, StorageError, IntegrityError, NetworkError)
CLEAN = {0, *(error.exit_code for error in ERRORS_OF_OURS)}
_COUNTED = re.compile(r"^(\d+) +(\w+)\(", re.MULTILINE)

pytestmark = [
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
]


def put(store: Store, scratch: Path) -> None:
    store.add_file(scratch / "served", artifact(DATA))
    wheel = scratch / "ops-1-py3-none-any.whl"
    store.add_op_wheel(KEY, wheel)


def get(store: Store, scratch: Path) -> None:
    made = artifact(OLD, "old")
    store.path(made)
    store.link_into(made, scratch / "context")


def download(store: Store, scratch: Path) -> None:
    errors = downloads(store).download(
        [job(artifact(DATA), [(scratch / "served").as_uri()])], Silent()
    )
    for error in errors.values():
        raise error


def collect(store: Store, scratch: Path) -> None:
    del scratch
    HostStoreCare(store).collect({artifact(OLD).sha256}, idle_days=30)


WORKS = [put, get, download, collect]


def prepared(folder: Path) -> Path:
    """Return a scratch folder with a store that holds something old and some garbage."""
    folder.mkdir()
    (folder / "served").write_bytes(DATA)
    (folder / "ops-1-py3-none-any.whl").write_bytes(b"compiled")
    store = Store(folder / "store")
    keep(store, OLD, folder, "old")
    keep(store, GARBAGE, folder)
    store.close()
    return folder


def traced(work: Callable[[Store, Path], None], folder: Path, *options: str) -> tuple[int, str]:
    """Do the work in a child under strace; return how it ended and the trace."""
    reading, writing = os.pipe()

    def child() -> None:
        os.close(writing)
        os.read(reading, 1)  # until the tracer has us
        work(Store(folder / "store"), folder)

    pid = fork(child)
    os.close(reading)
    log = folder / "trace"
    argv = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}", *options, "-p", str(pid)]
    tracer = fork(lambda: os.execvp(argv[0], argv))  # noqa: S606 - no shell is wanted
    status = Path(f"/proc/{pid}/status")
    while "TracerPid:\t0" in status.read_text():
        time.sleep(0.002)
    os.write(writing, b"g")
    os.close(writing)
    code = wait(pid, seconds=30)
    wait(tracer)
    return code, log.read_text()


def sound(folder: Path) -> None:
    """Nothing in the store is wrong, and what was there still is."""
    store = Store(folder / "store")
    assert verify(HostStoreCare(store), Silent()).findings == ()
    assert store.path(artifact(OLD, "old")).read_bytes() == OLD
    store.close()


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_every_call_may_fail_or_be_the_last(
    work: Callable[[Store, Path], None],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    warm = prepared(tmp_path / "warm")  # libraries import lazily, and that is not our concern
    work(Store(warm / "store"), warm)
    code, trace = traced(work, prepared(tmp_path / "clean"))
    assert code == 0
    # strace counts in each thread on its own, and which thread works is not always the same.
    threads = Counter(_COUNTED.findall(trace))
    counts = {call: max(n for (_, c), n in threads.items() if c == call) for _, call in threads}
    assert counts["openat"] > 3
    points = unhit = 0
    for call, count in sorted(counts.items()):
        for nth in range(1, count + 1):
            for fault in (*(f"error={error}" for error in ERRORS), "signal=KILL"):
                folder = prepared(tmp_path / f"{call}-{nth}-{fault.rpartition('=')[2]}")
                code, log = traced(work, folder, "-e", f"inject={call}:{fault}:when={nth}")
                points += 1
                unhit += "(INJECTED)" not in log and code != -signal.SIGKILL
                assert code in CLEAN or (code == -signal.SIGKILL and "KILL" in fault), (call, nth)
                sound(folder)
                work(Store(folder / "store"), folder)  # and then it goes through
                sound(folder)
                shutil.rmtree(folder)
    record_property("points", points)
    assert points > 20
    assert unhit <= (points // 10 if len({thread for thread, _ in threads}) > 1 else 0)
