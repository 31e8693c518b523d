import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from builder.adapters.network.download import Downloads
from builder.adapters.storage.partial import Partial
from builder.adapters.storage.store import Store
from builder.adapters.storage.store_care import HostStoreCare
from builder.commands.fetch import Network, Tools
from builder.commands.store import Verified, collect, lock_usage, repair, verify
from builder.domain.artifact import Artifact
from builder.domain.fetch import Found, Location, Room
from builder.domain.lockfile import Lock, PipLayer
from builder.domain.progress import Progress
from builder.domain.store import Fault, Usage
from builder.errors import NetworkError
from tests.store_examples import Silent, artifact, connect, content, keep

KEYS = ("op-key-one", "op-key-two")
DAMAGES = 60
LIFE = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is not what is tested here, and a busy disk would make it slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def lock_of(artifacts: Mapping[str, Artifact], cell: str = "cpu") -> Lock:
    layer = PipLayer(name="runtime", requirements="", artifacts=tuple(artifacts.values()))
    return Lock(
        image="bevformer",
        cell=cell,
        cell_digest="",
        epoch=0,
        base=None,
        debs={},
        pip=(layer,),
    )


class Shelf:
    """Finds artifacts as files of one folder; says how much room there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self, artifacts: Sequence[Artifact], progress: Progress) -> dict[str, Found]:
        del progress
        places = {one.sha256: self.folder / one.sha256 for one in artifacts}
        return {
            sha256: Found(locations=(Location(url=path.as_uri(), label="the shelf"),))
            if path.exists()
            else Found(problem="the shelf does not have it", gone=True)
            for sha256, path in places.items()
        }

    def room(self, path: Path) -> Room:
        return Room(path=path, disk=1, free=1 << 40)


def tools_of(store: Store, shelf: Path) -> Tools:
    kept = Shelf(shelf)
    network = Network(finder=kept, downloader=Downloads(store, connect()))
    return Tools(
        store=store,
        network=lambda: network,
        disk=kept,
        progress=Silent(),
        engine_path=shelf,
    )


def filled(tmp_path: Path, count: int) -> tuple[Store, Path, dict[str, Artifact]]:
    """Return a store with some inputs, and a shelf from which they can be had again."""
    store, shelf = Store(tmp_path / "store"), tmp_path / "shelf"
    shelf.mkdir()
    made = {}
    for seed in range(count):
        data = content(seed, 200 + seed)
        one = keep(store, data, tmp_path, f"input{seed}")
        (shelf / one.sha256).write_bytes(data)
        made[one.sha256] = one
    store.note_complete("bevformer-cpu", made)
    return store, shelf, made


def flip(path: Path, dice: random.Random) -> Fault:
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    rewrite(path, bytes(data))
    return Fault.CORRUPT


def swap(path: Path, dice: random.Random) -> Fault:
    rewrite(path, dice.randbytes(path.stat().st_size))
    return Fault.CORRUPT


def truncate(path: Path, dice: random.Random) -> Fault:
    rewrite(path, path.read_bytes()[: dice.randrange(path.stat().st_size)])
    return Fault.CORRUPT


def append(path: Path, dice: random.Random) -> Fault:
    rewrite(path, path.read_bytes() + dice.randbytes(3))
    return Fault.CORRUPT


def delete(path: Path, dice: random.Random) -> Fault:
    del dice
    path.unlink()
    return Fault.MISSING


def change_mode(path: Path, dice: random.Random) -> Fault:
    path.chmod(dice.choice([0o644, 0o666, 0o000, 0o755]))
    return Fault.MODE


def to_link(path: Path, dice: random.Random) -> Fault:
    del dice
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)
    return Fault.FOREIGN


def to_folder(path: Path, dice: random.Random) -> Fault:
    del dice
    path.unlink()
    path.mkdir()
    return Fault.FOREIGN


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


WAYS: list[Callable[[Path, random.Random], Fault]] = [
    *(flip, swap, truncate, append, delete, change_mode, to_link, to_folder),
]


def check_damages(count: int, tmp_path: Path) -> None:
    """Damage one object at random, again and again: each is found, named and healed."""
    store, shelf, made = filled(tmp_path, 8)
    care, tools, lock = HostStoreCare(store), tools_of(store, shelf), lock_of(made)
    dice = random.Random(count)  # noqa: S311 - the test must repeat itself
    for _ in range(count):
        sha256 = dice.choice(sorted(made))
        path = store.root / "objects" / sha256[:2] / sha256
        fault = dice.choice(WAYS)(path, dice)
        seen = verify(care, Silent())
        assert {(one.fault, one.sha256) for one in seen.findings} >= {(fault, sha256)}
        healed = repair(seen, [lock], care, tools)
        assert healed.unhealed == {}
        assert verify(care, Silent()) == Verified(checked=len(made), findings=())
        assert [store.path(one).stat().st_mode & 0o777 for one in made.values()] == [0o444] * 8


def test_every_damage_is_found_and_healed(tmp_path: Path) -> None:
    check_damages(DAMAGES, tmp_path)


def test_what_cannot_be_had_again_is_named_and_not_used(tmp_path: Path) -> None:
    store, shelf, made = filled(tmp_path, 2)
    care, (sha256, one) = HostStoreCare(store), next(iter(made.items()))
    flip(store.path(one), random.Random(1))  # noqa: S311
    (shelf / sha256).unlink()
    healed = repair(verify(care, Silent()), [lock_of(made)], care, tools_of(store, shelf))
    assert [str(error) for error in healed.unhealed.values()] == [
        f"{one.filename}: the shelf does not have it"
    ]
    assert healed.healed == ()
    assert not store.has(sha256)


def test_what_no_lock_needs_is_set_aside(tmp_path: Path) -> None:
    store, shelf, made = filled(tmp_path, 1)
    care = HostStoreCare(store)
    (store.root / "complete" / "bevformer-cpu").unlink()
    flip(store.path(next(iter(made.values()))), random.Random(1))  # noqa: S311
    wheel = tmp_path / "ops-1-py3-none-any.whl"
    wheel.write_bytes(b"compiled")
    rewrite(store.add_op_wheel(KEYS[0], wheel), b"changed")
    (store.root / "objects" / "notes.txt").write_bytes(b"mine")
    seen = verify(care, Silent())
    assert sorted(one.fault for one in seen.findings) == ["corrupt", "corrupt", "foreign"]
    healed = repair(seen, [], care, tools_of(store, shelf))
    assert (healed.healed, len(healed.set_aside), healed.unhealed) == ((), 3, {})
    assert verify(care, Silent()).findings == ()
    assert store.op_wheel(KEYS[0]) is None


def test_gc_spares_locks_leases_and_running_downloads(tmp_path: Path) -> None:
    store, _, made = filled(tmp_path, 4)
    locked, leased, other, garbage = made.values()
    care = HostStoreCare(store)
    partial = Partial.claim(store, artifact(b"running"))
    assert partial
    partial.restart("place", '"etag"')
    partial.write(b"run")
    with partial, store.lease([leased.sha256]):
        went = collect(
            [lock_of({locked.sha256: locked}), lock_of({other.sha256: other}, "cu124")],
            care,
            store,
            idle_days=30,
            dry_run=False,
        )
    assert {usage.kind: usage.count for usage in went} == {"objects": 1}
    assert care.digests() == sorted({locked.sha256, leased.sha256, other.sha256})
    assert not store.has(garbage.sha256)
    went = care.collect(set(), idle_days=0)
    assert {usage.kind: usage.count for usage in went} == {"objects": 3, "partial": 2}
    assert care.digests() == []


def test_a_dry_run_only_counts(tmp_path: Path) -> None:
    store, _, made = filled(tmp_path, 3)
    care = HostStoreCare(store)
    went = care.collect(set(), idle_days=0, dry_run=True)
    assert [(usage.kind, usage.count) for usage in went] == [("objects", 3)]
    assert care.digests() == sorted(made)


def test_op_wheels_go_when_idle_and_not_when_used_or_leased(tmp_path: Path) -> None:
    store, wheel = Store(tmp_path / "store"), tmp_path / "ops-1-py3-none-any.whl"
    wheel.write_bytes(b"compiled")
    for key in KEYS:
        store.add_op_wheel(key, wheel)
    later = HostStoreCare(store, clock=lambda: time.time() + 31 * 86_400)
    assert HostStoreCare(store).collect(set(), idle_days=30) == []
    with store.lease([KEYS[0]]):
        assert [one.count for one in later.collect(set(), idle_days=30)] == [1]
    assert store.op_wheel(KEYS[0])
    assert store.op_wheel(KEYS[1]) is None


def test_usage(tmp_path: Path) -> None:
    store, _, made = filled(tmp_path, 3)
    size = sum(200 + seed for seed in range(3))
    kinds = ("objects", "ops", "partial", "quarantine", "tmp")
    usage = HostStoreCare(store).usage()
    assert [(one.kind, one.count) for one in usage] == [
        (kind, 3 * (kind == "objects")) for kind in kinds
    ]
    (row,) = lock_usage([lock_of(made)], store)
    assert (row.lock, row.inputs, row.stored, row.size) == ("bevformer/cpu", 3, 3, size)
    assert Usage(kind="objects", count=3, size=usage[0].size) == usage[0]


class StoreLife(RuleBasedStateMachine):
    """Whatever happens in whatever order, what lives stays and what is garbage goes."""

    blobs: Bundle[bytes] = Bundle("blobs")

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        del data
        import tempfile  # noqa: PLC0415

        self.folder = tempfile.TemporaryDirectory()
        self.scratch = Path(self.folder.name)
        self.store = Store(self.scratch / "store")
        self.care = HostStoreCare(self.store)
        self.live: set[str] = set()
        self.present: dict[str, Artifact] = {}
        self.leases: list[tuple[set[str], AbstractContextManager[None]]] = []

    @rule(target=blobs, seed=st.integers(0, 30), size=st.integers(1, 200))
    def new(self, seed: int, size: int) -> bytes:
        return content(seed * 1000 + size, size)

    @rule(blob=blobs)
    def put(self, blob: bytes) -> None:
        made = keep(self.store, blob, self.scratch)
        self.present[made.sha256] = made

    @rule(blob=blobs)
    def lock(self, blob: bytes) -> None:
        self.live.add(artifact(blob).sha256)

    @rule(blob=blobs)
    def unlock(self, blob: bytes) -> None:
        self.live.discard(artifact(blob).sha256)

    @rule(blob=blobs)
    def lease(self, blob: bytes) -> None:
        made = artifact(blob)
        held = self.store.lease([made.sha256])
        held.__enter__()
        self.leases.append(({made.sha256}, held))

    @rule()
    def release(self) -> None:
        if self.leases:
            self.leases.pop()[1].__exit__(None, None, None)

    @rule(blob=blobs, cut=st.integers(0, 100))
    def die_downloading(self, blob: bytes, cut: int) -> None:
        partial = Partial.claim(self.store, artifact(blob))
        if partial:
            partial.restart("place", '"etag"')
            partial.write(blob[:cut])
            partial._file.flush()
            os.close(os.dup(partial._file.fileno()))
            partial._file.close()  # as the kernel does, without the orderly close

    @rule()
    def die_putting(self) -> None:
        (self.store.root / "tmp" / f"dead{len(list(self.scratch.iterdir()))}").write_bytes(b"dead")

    @rule(blob=blobs)
    def die_leasing(self, blob: bytes) -> None:
        digest = artifact(blob).sha256
        (self.store.root / "leases" / f"1-{digest[:8]}").write_text(digest)

    @rule()
    def gc(self) -> None:
        leased = {digest for digests, _ in self.leases for digest in digests}
        keep_these = self.live | leased
        self.care.collect(self.live, idle_days=30)
        self.present = {key: one for key, one in self.present.items() if key in keep_these}
        assert self.care.digests() == sorted(self.present)
        assert list((self.store.root / "tmp").iterdir()) == []
        assert {
            path.name.removesuffix(".from") for path in (self.store.root / "partial").iterdir()
        } <= keep_these
        assert self.care.collect(self.live, idle_days=30) == []

    @invariant()
    def what_is_present_is_right(self) -> None:
        for made in getattr(self, "present", {}).values():
            assert self.store.path(made).stat().st_size == made.size

    def teardown(self) -> None:
        for _, held in getattr(self, "leases", []):
            held.__exit__(None, None, None)
        if hasattr(self, "folder"):
            self.store.close()
            self.folder.cleanup()


TestStoreLife = StoreLife.TestCase
TestStoreLife.settings = LIFE


def test_a_store_that_lost_an_input_without_its_shelf_is_an_error_to_use(tmp_path: Path) -> None:
    store, _, made = filled(tmp_path, 1)
    one = next(iter(made.values()))
    (store.root / "objects" / one.sha256[:2] / one.sha256).unlink()
    with pytest.raises(NetworkError, match="is not in the store"):
        store.path(one)
