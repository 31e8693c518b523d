import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.storage.folder_import import FolderImport
from builder.adapters.storage.store import Store
from builder.commands.fetch import Network, Tools, Wish, fetch, import_from
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import Found, GoneError, Job, Location, Room
from builder.domain.lockfile import Lock, PipLayer, Unlocked
from builder.domain.progress import Progress
from builder.errors import CellarError, DataError, IntegrityError, NetworkError, StorageError
from tests.store_examples import Silent, artifact

A, B = artifact(b"bytes of a", "a"), artifact(b"bytes of b", "b")
CONFIG, LAYER = b"config", b"layer" * 100


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


MANIFEST = json.dumps(
    {
        "config": {"digest": f"sha256:{digest(CONFIG)}", "size": len(CONFIG)},
        "layers": [{"digest": f"sha256:{digest(LAYER)}", "size": len(LAYER)}],
    }
).encode()
BASE = Artifact(
    kind=ArtifactKind.IMAGE,
    name="nvidia/cuda",
    version="11.1.1",
    filename="nvidia-cuda-11.1.1",
    sha256=digest(MANIFEST),
    size=None,
    channel="registry",
    location="docker.io/nvidia/cuda:11.1.1-devel",
    quoted=True,
)


def lock_of(
    *artifacts: Artifact, base: Artifact | None = None, unlocked: tuple[Unlocked, ...] = ()
) -> Lock:
    return Lock(
        image="bevformer",
        cell="cu111",
        cell_digest="",
        epoch=0,
        base=base,
        debs={},
        pip=(PipLayer(name="runtime", requirements="", artifacts=artifacts),),
        unlocked=unlocked,
    )


class World:
    """Channels and downloads in memory: what lies where, and what went wrong."""

    def __init__(self, store: Store, scratch: Path, *served: bytes, free: int = 1 << 40) -> None:
        self.store, self.scratch, self.free = store, scratch, free
        self.served = {digest(data): data for data in served}
        self.problems: dict[str, Found] = {}
        self.failures: dict[str, CellarError] = {}
        self.asked: list[list[str]] = []
        self.downloaded: list[list[str]] = []

    def locate(self, artifacts: Sequence[Artifact], progress: Progress) -> Mapping[str, Found]:
        del progress
        self.asked.append([one.filename for one in artifacts])
        here = Found(locations=(Location(url="memory:", label="memory"),))
        return {one.sha256: self.problems.get(one.sha256, here) for one in artifacts}

    def download(self, jobs: Sequence[Job], progress: Progress) -> Mapping[str, CellarError]:
        del progress
        self.downloaded.append([job.artifact.filename for job in jobs])
        for job in jobs:
            if job.artifact.sha256 not in self.failures:
                file = self.scratch / "download"
                file.write_bytes(self.served[job.artifact.sha256])
                self.store.add_file(file, job.artifact)
        return {
            key: error
            for key, error in self.failures.items()
            if key in {job.artifact.sha256 for job in jobs}
        }

    def room(self, path: Path) -> Room:
        return Room(path=path, disk=1, free=self.free)

    def tools(self) -> Tools:
        return Tools(
            store=self.store,
            network=lambda: Network(finder=self, downloader=self),
            disk=self,
            progress=self.listener,
            engine_path=Path("/engine"),
        )

    listener = Silent()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path


def test_what_is_missing_is_fetched_and_nothing_twice(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"bytes of a", b"bytes of b")
    first = fetch(Wish(lock=lock_of(A)), world.tools())
    second = fetch(Wish(lock=lock_of(A, B)), world.tools())
    third = fetch(Wish(lock=lock_of(A, B)), world.tools())
    assert world.downloaded == [[A.filename], [B.filename]]
    assert [done.took for done in (first, second, third)] == [(A,), (B,), ()]
    assert [done.remaining for done in (first, second, third)] == [(), (), ()]
    assert (second.plan.present, second.plan.download) == (1, len(b"bytes of b"))


def test_a_full_store_asks_nobody(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"bytes of a")
    fetch(Wish(lock=lock_of(A)), world.tools())

    def refuse() -> Network:
        raise AssertionError

    tools = replace(world.tools(), network=refuse)
    assert fetch(Wish(lock=lock_of(A)), tools).took == ()


def test_an_image_brings_its_parts_and_its_quoted_hash_is_confirmed(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch, b"bytes of a", MANIFEST, CONFIG, LAYER)
    done = fetch(Wish(lock=lock_of(A, base=BASE)), world.tools())
    assert [store.has(digest(data)) for data in (MANIFEST, CONFIG, LAYER)] == [True] * 3
    assert done.plan.download == len(b"bytes of a") + len(CONFIG) + len(LAYER)
    assert done.confirmed == (replace(BASE, quoted=False, size=len(MANIFEST)),)


def test_all_that_cannot_be_reached_is_told_at_once_and_nothing_is_downloaded(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch)
    world.problems = {
        A.sha256: Found(problem="the package index does not have it", gone=True),
        BASE.sha256: Found(problem="docker.io: its host name is not known here"),
    }
    unlocked = [
        Unlocked(kind=kind, name=name, version="1", channel="x", reason=reason)
        for kind, name, reason in (
            (ArtifactKind.DEB, "gcc", "the base was not reached"),
            (ArtifactKind.WHEEL, "tqdm", "the base was not reached"),
            (ArtifactKind.SOURCE, "detectron2", "github.com was not reached"),
        )
    ]
    with pytest.raises(NetworkError) as caught:
        fetch(Wish(lock=lock_of(A, B, base=BASE, unlocked=tuple(unlocked))), world.tools())
    assert str(caught.value).splitlines() == [
        "4 inputs of lock/bevformer/cu111 cannot be had:",
        f"  sha256:{BASE.sha256} nvidia-cuda-11.1.1: docker.io: its host name is not known here",
        f"  sha256:{A.sha256} {A.filename}: the package index does not have it",
        "  no hash yet, the base was not reached: gcc 1, tqdm 1",
    ]
    hint = caught.value.hint or ""
    assert "`cellar fetch --image bevformer --cell cu111 --from FOLDER`" in hint
    assert (
        "`skopeo copy --all --preserve-digests "
        f"docker://docker.io/nvidia/cuda@sha256:{BASE.sha256} dir:FOLDER/base`"
    ) in hint
    assert "CELLAR_PACKAGE_INDEX_MIRROR, CELLAR_REGISTRY_MIRROR" in hint
    assert "1 left their channel: `make lock CELL=cu111`" in hint
    assert caught.value.exit_code == 4
    assert world.downloaded == []


def test_an_upstream_source_without_a_hash_is_told_and_left_out(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch, b"bytes of a")
    source = Unlocked(
        kind=ArtifactKind.SOURCE,
        name="detectron2",
        version="0.6",
        channel="git",
        reason="github.com was not reached",
    )
    world.listener.lines.clear()
    assert fetch(Wish(lock=lock_of(A, unlocked=(source,))), world.tools()).took == (A,)
    told = (
        "  detectron2 0.6 has no hash yet: github.com was not reached; the image comes without it"
    )
    assert told in world.listener.lines


def test_a_lock_that_lacks_a_hash_is_refused_although_all_else_is_there(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch, b"bytes of a")
    wheel = Unlocked(
        kind=ArtifactKind.WHEEL, name="tqdm", version="4", channel="x", reason="nobody knows"
    )
    fetch(Wish(lock=lock_of(A)), world.tools())
    with pytest.raises(NetworkError, match="no hash yet, nobody knows: tqdm 4"):
        fetch(Wish(lock=lock_of(A, unlocked=(wheel,))), world.tools())


@pytest.mark.parametrize(
    ("isa", "words"),
    [
        pytest.param("", "--cell cu111 --from FOLDER`", id="the-cells-level"),
        pytest.param("x86-64", "--cell cu111 --isa x86-64 --from FOLDER`", id="a-lower-level"),
    ],
)
def test_the_remedy_is_about_the_same_level(
    isa: str, words: str, store: Store, scratch: Path
) -> None:
    world = World(store, scratch)
    world.problems = {A.sha256: Found(problem="out of reach")}
    with pytest.raises(NetworkError) as caught:
        fetch(Wish(lock=lock_of(A), isa=isa), world.tools())
    assert words in str(caught.value.hint)


def test_keep_going_takes_what_can_be_had_and_still_fails(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"bytes of b")
    world.problems = {A.sha256: Found(problem="out of reach")}
    with pytest.raises(NetworkError, match="1 inputs of lock/bevformer/cu111 cannot be had"):
        fetch(Wish(lock=lock_of(A, B), keep_going=True), world.tools())
    assert (store.has(A.sha256), store.has(B.sha256)) == (False, True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(
            GoneError(f"{A.filename}: place: HTTP 404"), NetworkError, id="left its mirror"
        ),
        pytest.param(
            IntegrityError(f"{A.filename}: expected x, got y"), IntegrityError, id="wrong"
        ),
    ],
)
def test_downloads_that_fail_are_named_and_the_others_kept(
    error: CellarError, kind: type[CellarError], store: Store, scratch: Path
) -> None:
    world = World(store, scratch, b"bytes of b")
    world.failures = {A.sha256: error}
    with pytest.raises(kind) as caught:
        fetch(Wish(lock=lock_of(A, B)), world.tools())
    assert str(error) in str(caught.value)
    assert store.has(B.sha256)


def test_a_disk_that_is_too_small_stops_it_before_the_first_byte(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch, b"bytes of a", free=11)
    with pytest.raises(StorageError, match=r"needs about 46 bytes and has 11 bytes free"):
        fetch(Wish(lock=lock_of(A)), world.tools())
    assert world.downloaded == []
    assert fetch(Wish(lock=lock_of(A), ignore_space=True), world.tools()).took == (A,)


def test_a_plan_is_told_and_not_carried_out(store: Store, scratch: Path) -> None:
    world = World(store, scratch)
    world.listener.lines.clear()
    done = fetch(Wish(lock=lock_of(A, B), plan_only=True), world.tools())
    assert (done.remaining, world.downloaded) == ((A, B), [])
    (line,) = world.listener.lines
    assert line.startswith(
        "cu111: 2 of 2 inputs are missing; 20 bytes to download, about 72 bytes once unpacked; "
    )


def test_files_are_imported_by_hash_from_any_depth_under_any_name(
    store: Store, scratch: Path
) -> None:
    world = World(store, scratch)
    bag = scratch / "bag"
    (bag / "deep" / "er").mkdir(parents=True)
    (bag / "deep" / "er" / "whatever").write_bytes(b"bytes of a")
    (bag / "manifest.json").write_bytes(MANIFEST)
    (bag / "deep" / digest(LAYER)).write_bytes(LAYER)
    (bag / "b-1-py3-none-any.whl").write_bytes(b"bytes of x")
    (bag / "dangling").symlink_to("nowhere")
    done = import_from(lock_of(A, B, base=BASE), (FolderImport(bag),), world.tools())
    assert [one.sha256 for one in done.took] == [BASE.sha256, A.sha256, digest(LAYER)]
    assert [one.sha256 for one in done.remaining] == [B.sha256, digest(CONFIG)]
    assert (world.asked, world.downloaded) == ([], [])


def test_a_base_that_is_no_manifest_is_a_fault_of_the_lock(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"no manifest")
    wrong = replace(BASE, sha256=digest(b"no manifest"))
    with pytest.raises(DataError, match="not an image manifest"):
        fetch(Wish(lock=lock_of(base=wrong)), world.tools())


TREE = replace(artifact(b"canonical tar", "bevformer"), kind=ArtifactKind.SOURCE, tree="3" * 40)


def test_a_source_tree_that_nobody_brings_is_left_out(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"bytes of a")
    world.problems[TREE.sha256] = Found(problem="the git host does not answer")
    done = fetch(Wish(lock=replace(lock_of(A), sources=(TREE,))), world.tools())
    assert (done.remaining, world.downloaded) == ((TREE,), [[A.filename]])


def test_a_source_tree_of_another_commit_is_refused(store: Store, scratch: Path) -> None:
    world = World(store, scratch, b"bytes of a")
    world.failures[TREE.sha256] = IntegrityError("the archive holds another tree")
    with pytest.raises(IntegrityError, match="the archive holds another tree"):
        fetch(Wish(lock=replace(lock_of(A), sources=(TREE,))), world.tools())
