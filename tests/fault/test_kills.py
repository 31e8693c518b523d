"""kill -9 at any moment, uniformly over the time that the work takes: nothing wrong remains."""

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from builder.adapters.storage.partial import Partial
from builder.adapters.storage.store import Store
from builder.adapters.storage.store_care import HostStoreCare
from builder.commands.store import repair, verify
from builder.domain.artifact import Artifact
from builder.domain.store import Fault
from tests.bad_server import Resource
from tests.fault.processes import fork, kill_after, serving, wait
from tests.store_examples import Silent, artifact, content, downloads, job, keep
from tests.unit.adapters.storage.test_store_care import filled, flip, lock_of, tools_of

KILLS_FETCHING = 1_000
KILLS_CARING = 300
BLOBS = 12
KEY = "op-key-one"


def cycle(work: Callable[[], None], reset: Callable[[], None]) -> float:
    """Return how long the work takes when nobody kills it, in seconds: the median of five."""
    times = []
    for _ in range(5):
        reset()
        start = time.monotonic()
        assert wait(fork(work)) == 0
        times.append(time.monotonic() - start)
    return statistics.median(times)


def test_fetching_and_putting(tmp_path: Path) -> None:
    data = {f"/{seed}": content(seed, 40_000 + seed * 5_000) for seed in range(BLOBS)}
    made = {path: artifact(one, f"a{path[1:]}") for path, one in data.items()}
    wheel = tmp_path / "ops-1-py3-none-any.whl"
    wheel.write_bytes(content(99, 50_000))
    extra = content(98, 30_000)
    root, dice = tmp_path / "store", random.Random(1)  # noqa: S311 - a seed repeats the test

    with serving({path: Resource(content=one) for path, one in data.items()}, pause_s=0.002) as url:

        def work() -> None:
            store = Store(root)
            keep(store, extra, tmp_path)
            store.add_op_wheel(KEY, wheel)
            jobs = [job(one, [url(path)]) for path, one in made.items()]
            if downloads(store, read_s=10).download(jobs, Silent()):
                raise AssertionError

        def reset() -> None:
            store = Store(root)
            present = sorted(HostStoreCare(store).digests())
            for sha256 in dice.sample(present, k=len(present) * 2 // 3):
                (root / "objects" / sha256[:2] / sha256).unlink()
            store.close()

        takes, killed = cycle(work, reset), 0
        for _ in range(KILLS_FETCHING):
            reset()
            killed += kill_after(fork(work), dice.uniform(0, 1.1 * takes)) == -9
            check(root, list(made.values()))
        assert wait(fork(work)) == 0
    store = Store(root)
    care = HostStoreCare(store)
    assert [store.path(made[path]).read_bytes() for path in data] == list(data.values())
    op_wheel = store.op_wheel(KEY)
    assert op_wheel
    assert op_wheel.read_bytes() == wheel.read_bytes()
    live = {one.sha256 for one in (*made.values(), artifact(extra))}
    care.collect(live, idle_days=30)
    assert care.collect(live, idle_days=30) == []
    assert {one.kind for one in care.usage() if one.count} == {"objects", "ops"}
    assert killed > KILLS_FETCHING / 2


def check(root: Path, made: list[Artifact]) -> None:
    """Nothing in the store is wrong, and every lock is free."""
    store = Store(root)
    seen = verify(HostStoreCare(store), Silent())
    assert seen.findings == ()
    for one in made:
        start = time.monotonic()
        partial = Partial.claim(store, one)
        assert (partial is None) is store.has(one.sha256)
        if partial:  # closed as the kernel would: what was downloaded stays for the next one
            partial._file.close()
        assert time.monotonic() - start < 1.0
    store.close()


def test_collecting_and_repairing(tmp_path: Path) -> None:
    store, shelf, made = filled(tmp_path, 10)
    lock, dice = lock_of(made), random.Random(2)  # noqa: S311 - a seed repeats the test
    root = store.root
    store.close()

    def work() -> None:
        mine = Store(root)
        care = HostStoreCare(mine)
        repair(verify(care, Silent()), [lock], care, tools_of(mine, shelf))
        care.collect(set(made), idle_days=30)

    def reset() -> None:
        mine = Store(root)
        for number in range(3):
            keep(mine, dice.randbytes(100 + number), tmp_path)
        mine.close()
        for sha256 in dice.sample(sorted(made), k=3):
            path = root / "objects" / sha256[:2] / sha256
            if path.is_file():
                flip(path, dice)

    takes, killed = cycle(work, reset), 0
    for _ in range(KILLS_CARING):
        reset()
        damaged = unsound(root)
        killed += kill_after(fork(work), dice.uniform(0, 1.1 * takes)) == -9
        assert unsound(root) <= damaged
    assert killed > KILLS_CARING / 2
    assert wait(fork(work)) == 0
    again = HostStoreCare(Store(root))
    assert again.digests() == sorted(made)
    assert verify(again, Silent()).findings == ()


def unsound(root: Path) -> set[str]:
    """Return the digests that are damaged or gone; nothing else may ever be wrong."""
    store = Store(root)
    seen = verify(HostStoreCare(store), Silent())
    store.close()
    assert {one.fault for one in seen.findings} <= {Fault.CORRUPT, Fault.MISSING}
    return {one.sha256 for one in seen.findings}
