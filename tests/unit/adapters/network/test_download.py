import os
import random
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.archives.source_trees import repack
from builder.adapters.storage.store import Store
from builder.adapters.storage.store_care import HostStoreCare
from builder.domain.artifact import Artifact, ArtifactKind
from builder.errors import CellarError, IntegrityError, NetworkError
from tests.bad_server import WRONG_BYTES, BadServer, Fault, Resource
from tests.store_examples import Silent, artifact, content, downloads, job
from tests.unit.adapters.archives.test_source_trees import pack

SEEDS = 60
OFFSETS = 12
PASSING = [fault for fault in Fault if fault not in (Fault.NONE, Fault.GONE)]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is not what is tested here, and a busy disk would make it slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def seeded(seed: int) -> tuple[Resource, bool]:
    """Return one seeded misbehaviour, and whether the right bytes can be had in spite of it."""
    dice = random.Random(seed)  # noqa: S311 - the test must repeat itself
    data = content(seed, dice.choice([0, 33, 100, 5_000, 70_000, 200_000]))
    at = dice.randrange(len(data) + 1)
    if dice.random() < 0.2:
        forever = dice.choice([Fault.FLIP, Fault.GONE, Fault.BROKEN, Fault.CIRCLE, Fault.EMPTY])
        return Resource(content=data, forever=forever, at=at), forever is Fault.FLIP and not data
    faults = dice.choices(PASSING, k=dice.randint(1, 3))
    wrong = [fault for fault in faults if fault in WRONG_BYTES]
    for fault in wrong[1:]:  # two whole wrong files are a server's last word
        faults.remove(fault)
    return Resource(content=data, faults=faults, at=at), True


def check_seeds(seeds: range, folder: Path) -> int:
    """Download under each seeded misbehaviour; return how many failed, as they must."""
    cases = {f"/{seed}": seeded(seed) for seed in seeds}
    store = Store(folder)
    with BadServer({path: resource for path, (resource, _) in cases.items()}) as server:
        made = {path: artifact(case[0].content, f"a{path[1:]}") for path, case in cases.items()}
        jobs = [job(one, [server.url(path)]) for path, one in made.items()]
        failures = downloads(store).download(jobs, Silent())
    for path, (resource, recoverable) in cases.items():
        one = made[path]
        if recoverable:
            assert one.sha256 not in failures, (path, resource.faults, failures[one.sha256])
            assert store.path(one).read_bytes() == resource.content
        elif resource.content:  # (all empty files are one artifact)
            error = failures[one.sha256]
            assert one.filename in str(error)
            assert "place 1" in str(error)
            if resource.forever is Fault.FLIP:
                assert isinstance(error, IntegrityError)
                assert f"expected sha256 {one.sha256}, got " in str(error)
            else:
                assert isinstance(error, NetworkError)
            assert not store.has(one.sha256)
    care = HostStoreCare(store)
    assert [found for sha256 in care.digests() if (found := care.check(sha256))] == []
    store.close()
    return len(failures)


def test_no_seeded_fault_lets_a_wrong_byte_in(tmp_path: Path) -> None:
    assert check_seeds(range(SEEDS), tmp_path / "store") > 0


def check_cuts(size: int, offsets: range, store: Store) -> None:
    """Cut a download at each offset; it must go on from there and fetch nothing twice."""
    data = {f"/{size}/{n}": content(size + n, size) for n in offsets}
    cuts = {path: int(path.rpartition("/")[2]) * size // len(offsets) for path in data}
    resources = {
        path: Resource(content=data[path], faults=[Fault.CUT], at=cuts[path]) for path in data
    }
    with BadServer(resources) as server:
        jobs = [
            job(artifact(data[path], path[1:].replace("/", "-")), [server.url(path)])
            for path in data
        ]
        assert downloads(store).download(jobs, Silent()) == {}
    for path in data:
        assert server.log.served[path] <= 1.05 * size
    assert len(server.log.ranges) >= len([cut for cut in cuts.values() if 0 < cut < size])


@pytest.mark.parametrize("size", [1_000, 100_000, 700_000])
def test_a_cut_download_goes_on_where_it_stopped(size: int, store: Store) -> None:
    check_cuts(size, range(OFFSETS), store)


def test_a_file_that_changed_is_never_spliced(store: Store) -> None:
    old, new = content(1, 90_000), content(2, 90_000)
    first = Resource(content=old, faults=[Fault.CUT], at=50_000, forever=Fault.BROKEN)
    with BadServer({"/a": first}) as server:
        url, made = server.url("/a"), artifact(new)
        assert made.sha256 in downloads(store).download([job(made, [url])], Silent())
        server.resources["/a"] = Resource(content=new)
        assert downloads(store).download([job(made, [url])], Silent()) == {}
    assert server.log.served["/a"] == 50_000 + 90_000
    assert store.path(made).read_bytes() == new


def test_a_download_that_failed_is_resumed_by_the_next_run(store: Store) -> None:
    data = content(3, 80_000)
    made = artifact(data)
    broken = Resource(content=data, faults=[Fault.CUT, *[Fault.BROKEN] * 6], at=60_000)
    with BadServer({"/a": broken}) as server:
        jobs = [job(made, [server.url("/a")])]
        assert made.sha256 in downloads(store).download(jobs, Silent())
        assert downloads(store).download(jobs, Silent()) == {}
    assert server.log.served["/a"] == len(data)
    assert store.path(made).read_bytes() == data


def test_the_next_location_gives_what_the_first_does_not(store: Store) -> None:
    data = content(4, 10_000)
    resources = {
        "/gone": Resource(content=data, forever=Fault.GONE),
        "/wrong": Resource(content=data, forever=Fault.FLIP, at=17),
        "/good": Resource(content=data),
    }
    made = artifact(data)
    with BadServer(resources) as server:
        urls = [server.url(path) for path in resources]
        assert downloads(store).download([job(made, urls)], Silent()) == {}
    assert store.path(made).read_bytes() == data
    assert len(list((store.root / "quarantine").iterdir())) == 2  # /wrong was asked twice


def test_wrong_bytes_are_set_aside_as_they_came(store: Store) -> None:
    data = content(5, 1_000)
    wrong = bytearray(data)
    wrong[17] ^= 1
    made = artifact(data)
    with BadServer({"/a": Resource(content=data, forever=Fault.FLIP, at=17)}) as server:
        errors = downloads(store).download([job(made, [server.url("/a")])], Silent())
    (aside, _) = sorted((store.root / "quarantine").iterdir())
    assert aside.read_bytes() == wrong
    assert "set aside as " in str(errors[made.sha256])


@pytest.mark.parametrize(
    ("stored", "size", "outcome"),
    [
        pytest.param(b"right", -1, "", id="its bytes"),
        pytest.param(b"wrong", -1, "its file of that name is another one (5 bytes)", id="others"),
        pytest.param(b"longer", -1, "its file of that name is another one (6 bytes)", id="longer"),
        pytest.param(b"right", None, "", id="its bytes, of a size nobody knew"),
        pytest.param(None, -1, "No such file or directory", id="nothing"),
    ],
)
def test_file_locations(
    stored: bytes | None, size: int | None, outcome: str, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "a file.whl"
    if stored is not None:
        path.write_bytes(stored)
    made = artifact(b"right", size=size)
    errors = downloads(store).download([job(made, [path.as_uri()])], Silent())
    told = [f"{made.filename}: place 1: {outcome}"] if outcome else []
    assert [str(error) for error in errors.values()] == told
    assert store.has(made.sha256) is not bool(outcome)
    assert list((store.root / "quarantine").iterdir()) == []  # the user's file stays where it is


def test_progress_counts_each_byte_once_although_it_restarts(store: Store) -> None:
    data = content(6, 50_000)
    faults = [Fault.CUT, Fault.RENAMED, Fault.FLIP]
    listener = Silent()
    with BadServer({"/a": Resource(content=data, faults=faults, at=20_000)}) as server:
        assert downloads(store).download([job(artifact(data), [server.url("/a")])], listener) == {}
    assert listener.amount == len(data)


def test_ctrl_c_ends_at_once_and_the_next_run_goes_on(store: Store) -> None:
    data = content(7, 60_000)
    made = artifact(data)
    halting = Resource(content=data, faults=[Fault.STALL], at=40_000)
    partial = store.root / "partial" / made.sha256

    def interrupt() -> None:
        while not (partial.exists() and partial.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with BadServer({"/a": halting}) as server:
        jobs = [job(made, [server.url("/a")])]
        threading.Thread(target=interrupt).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            downloads(store, read_s=30).download(jobs, Silent())
        assert time.monotonic() - start < 10
        assert list((store.root / "tmp").iterdir()) == []
        assert downloads(store).download(jobs, Silent()) == {}
        ((_, asked),) = server.log.ranges
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= 40_000
    assert store.path(made).read_bytes() == data


def test_nothing_private_is_told(store: Store) -> None:
    made = artifact(b"data")
    urls = [
        "http://name:password@127.0.0.1:1/secret?token=presigned",
        "http://private.invalid/secret",
        "ftp://private.invalid/secret",
        "http://[private/secret",
        "http://pri vate/secret",
    ]
    (error,) = downloads(store).download([job(made, urls)], Silent()).values()
    shown = _chain(error)
    for word in ("private", "password", "presigned", "secret", "127.0.0.1"):
        assert word not in shown


def test_no_credential_reaches_the_store(store: Store) -> None:
    data = content(8, 30_000)
    cut = Resource(content=data, faults=[Fault.CUT], forever=Fault.BROKEN, at=10_000)
    with BadServer({"/files/a?token=presigned": cut}) as server:
        secret = server.url("/files/a?token=presigned").replace("//", "//name:password@")
        downloads(store).download([job(artifact(data), [secret])], Silent())
    kept = [path for path in store.root.rglob("*") if path.is_file()]
    assert {path.name.rpartition(".")[2] for path in kept} >= {"from"}
    for path in kept:
        seen = path.read_bytes() + path.name.encode()
        for word in (b"password", b"presigned", b"127.0.0.1"):
            assert word not in seen


def _chain(error: BaseException | None) -> str:
    """Return all texts that a traceback would show."""
    if error is None:
        return ""
    hint = error.hint if isinstance(error, CellarError) else ""
    shown = "" if error.__suppress_context__ else _chain(error.__context__)
    return f"{error} {hint} {_chain(error.__cause__)} {shown}"


def source(canonical: bytes, tree: str) -> Artifact:
    return replace(
        artifact(canonical, "bevformer"),
        kind=ArtifactKind.SOURCE,
        filename="bevformer-2f37.tar",
        tree=tree,
    )


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_an_archive_of_a_tree_becomes_its_canonical_tar(
    scheme: str, tmp_path: Path, store: Store
) -> None:
    archive = pack(tmp_path / "a.tar.gz", prefix="BEVFormer-2f37/")
    tree = repack(archive, tmp_path / "canonical.tar")
    wanted = source((tmp_path / "canonical.tar").read_bytes(), tree.tree)
    with BadServer({"/a": Resource(content=archive.read_bytes())}) as server:
        url = server.url("/a") if scheme == "http" else archive.as_uri()
        assert downloads(store).download([job(wanted, [url])], Silent()) == {}
    assert store.path(wanted).read_bytes() == (tmp_path / "canonical.tar").read_bytes()
    assert list((tmp_path / "store" / "partial").iterdir()) == []


def test_an_archive_of_another_tree_is_refused(tmp_path: Path, store: Store) -> None:
    archive = pack(tmp_path / "a.tar.gz", {"other": "file"})
    tree = repack(archive, tmp_path / "canonical.tar")
    wanted = source(b"canonical", "0" * 40)
    with BadServer({"/a": Resource(content=archive.read_bytes())}) as server:
        failures = downloads(store).download([job(wanted, [server.url("/a")])], Silent())
    error = failures[wanted.sha256]
    assert isinstance(error, IntegrityError)
    assert f"holds {tree}, not the tree {'0' * 40}" in str(error)
    assert not store.has(wanted.sha256)
