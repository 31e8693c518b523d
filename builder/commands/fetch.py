"""`fetch`: bring every locked input into the store, or say in one message what cannot be had."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import (
    Disk,
    Downloader,
    FetchPlan,
    Finder,
    GoneError,
    Importer,
    Job,
    plan,
    readable,
    shortages,
)
from builder.domain.image_parts import parts, repository
from builder.domain.lockfile import Lock
from builder.domain.progress import Progress
from builder.domain.store import Store
from builder.errors import CellarError, IntegrityError, NetworkError, StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What reaches out: one configuration of channels, and the downloads from them."""

    finder: Finder
    downloader: Downloader


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a fetch works with.

    `network` is asked only when something is missing; `engine_path` is where the engine unpacks.
    """

    store: Store
    network: Callable[[], Network]
    disk: Disk
    progress: Progress
    engine_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be fetched, and how.

    `plan_only` stops before the first byte of an input; `keep_going` takes what can be had
    although not all can; `ignore_space` goes on where the disk seems too small. `isa` is the level
    that has some of the lock's wheels compiled anew, empty where it is the cell's own.
    """

    lock: Lock
    isa: str = ""
    plan_only: bool = False
    keep_going: bool = False
    ignore_space: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch did; `confirmed` are inputs whose hash was only quoted, now with their size."""

    plan: FetchPlan
    took: tuple[Artifact, ...]
    remaining: tuple[Artifact, ...]
    confirmed: tuple[Artifact, ...]


def fetch(wish: Wish, tools: Tools) -> Fetched:
    """Bring all inputs of a lock into the store; NetworkError lists all that cannot be had.

    Nothing but image manifests is downloaded before it is known that everything can be reached
    and that the disk holds it.
    """
    lock, store = wish.lock, tools.store
    if not _missing(lock, store):
        _refuse(wish, {})
        return _report(lock, tools, plan(lock.artifacts(), store), ())
    with store.lease(artifact.sha256 for artifact in lock.artifacts()):
        failures = _manifests(lock, tools)
        todo = plan(everything(lock, store), store)
        jobs, unreachable = _locate(
            [one for one in todo.missing if one.sha256 not in failures], tools
        )
        failures |= unreachable
        _announce(todo, wish, tools)
        if not wish.keep_going:
            _refuse(wish, failures)
        if wish.plan_only:
            return _report(lock, tools, todo, ())
        if jobs:
            failures |= tools.network().downloader.download(jobs, tools.progress)
        _refuse(wish, failures)
        return _report(lock, tools, todo, todo.missing)


def import_from(lock: Lock, importers: Sequence[Importer], tools: Tools) -> Fetched:
    """Take what is missing from the files of a folder, by hash; nothing is downloaded."""
    store = tools.store
    todo = plan(everything(lock, store), store)
    took: list[Artifact] = []
    with store.lease(artifact.sha256 for artifact in lock.artifacts()):
        while True:  # an image's manifest, once taken, names further parts
            found = dict[str, Path]()
            for importer in importers:
                found |= importer.find(_missing(lock, store), tools.progress)
            fresh = [one for one in _missing(lock, store) if one.sha256 in found]
            for artifact in fresh:
                store.add_file(found[artifact.sha256], artifact)
            took += fresh
            if not fresh:
                return _report(lock, tools, todo, took)


def everything(lock: Lock, store: Store) -> tuple[Artifact, ...]:
    """Return all inputs of `lock`, with the parts of its base as far as manifests are stored."""
    known = {artifact.sha256: artifact for artifact in lock.artifacts()}
    queue = [one for one in known.values() if one.kind is ArtifactKind.IMAGE]
    while queue:
        image = queue.pop()
        if not store.has(image.sha256):
            continue
        fresh = [
            part
            for part in parts(store.path(image).read_bytes(), image)
            if known.setdefault(part.sha256, part) is part
        ]
        queue += [part for part in fresh if part.kind is ArtifactKind.IMAGE]
    return tuple(known.values())


def complete_name(lock: Lock) -> str:
    """Return under which name a store notes that it has all of `lock`."""
    return f"{lock.image}-{lock.cell}"


def _missing(lock: Lock, store: Store) -> tuple[Artifact, ...]:
    return tuple(one for one in everything(lock, store) if not store.has(one.sha256))


def _manifests(lock: Lock, tools: Tools) -> dict[str, CellarError]:
    """Bring manifests first: they are small, and only they say how much will follow."""
    failures: dict[str, CellarError] = {}
    while True:
        wanted = [
            one
            for one in _missing(lock, tools.store)
            if one.kind is ArtifactKind.IMAGE and one.sha256 not in failures
        ]
        if not wanted:
            return failures
        failures |= bring(wanted, tools)


def bring(wanted: Sequence[Artifact], tools: Tools) -> dict[str, CellarError]:
    """Find and download `wanted` without further ado; return why some failed, by sha256."""
    jobs, failures = _locate(wanted, tools)
    if jobs:
        failures |= tools.network().downloader.download(jobs, tools.progress)
    return failures


def _locate(wanted: Sequence[Artifact], tools: Tools) -> tuple[list[Job], dict[str, CellarError]]:
    found = tools.network().finder.locate(wanted, tools.progress) if wanted else {}
    jobs, failures = [], dict[str, CellarError]()
    for artifact in wanted:
        place = found[artifact.sha256]
        if place.locations:
            jobs.append(Job(artifact=artifact, locations=place.locations))
        else:
            kind = GoneError if place.gone else NetworkError
            failures[artifact.sha256] = kind(f"{artifact.filename}: {place.problem}")
    return jobs, failures


def _announce(todo: FetchPlan, wish: Wish, tools: Tools) -> None:
    """Say what will come and whether there is room for it; StorageError where there is not."""
    store = tools.disk.room(tools.store.root)
    engine = tools.disk.room(tools.engine_path)
    unsized = f" and {todo.unsized} inputs of unknown size" if todo.unsized else ""
    tools.progress.say(
        f"{wish.lock.cell}: {len(todo.missing)} of {todo.present + len(todo.missing)} inputs are "
        f"missing; {readable(todo.download)}{unsized} to download, about "
        f"{readable(todo.unpacked)} once unpacked; {readable(store.free)} free at {store.path}"
    )
    for source in wish.lock.absent:
        what = f"{source.name} {source.version} has no hash yet: {source.reason}"
        tools.progress.say(f"  {what}; the image comes without it")
    short = shortages(todo, store=store, engine=engine)
    if short and not wish.ignore_space:
        hint = "free some space (`cellar store gc`), set CELLAR_STORE=DIR, or --ignore-space"
        raise StorageError("; ".join(short), hint=hint)


def _refuse(wish: Wish, failures: Mapping[str, CellarError]) -> None:
    """Raise one error that names every input which cannot be had, and every remedy.

    A source tree that nobody brings is none of them: the image comes without it.
    """
    lock = wish.lock
    known = {artifact.sha256: artifact for artifact in lock.artifacts()}
    needed, failures = lock.gaps, _unbearable(failures, known)
    if not failures and not needed:
        return
    reasons: dict[str, list[str]] = {}
    for one in needed:
        reasons.setdefault(one.reason, []).append(f"{one.name} {one.version}")
    lines = [f"  sha256:{sha256} {error}" for sha256, error in failures.items()]
    lines += [f"  no hash yet, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
    count, where = len(failures) + len(needed), lock.folder
    message = "\n".join([f"{count} inputs of {where} cannot be had:", *lines])
    failed = [known[sha256] for sha256 in failures if sha256 in known]
    hint = "\n       ".join(_remedies(wish, failed, failures))
    if any(isinstance(error, IntegrityError) for error in failures.values()):
        raise IntegrityError(message, hint=hint)
    raise NetworkError(message, hint=hint)


def _unbearable(
    failures: Mapping[str, CellarError], known: Mapping[str, Artifact]
) -> Mapping[str, CellarError]:
    return {
        sha256: error
        for sha256, error in failures.items()
        if isinstance(error, IntegrityError)
        or sha256 not in known
        or known[sha256].kind is not ArtifactKind.SOURCE
    }


def _remedies(
    wish: Wish, failed: Sequence[Artifact], failures: Mapping[str, CellarError]
) -> Iterator[str]:
    lock = wish.lock
    if failures:
        isa = f" --isa {wish.isa}" if wish.isa else ""
        select = f"--image {lock.image} --cell {lock.cell}{isa}"
        yield (
            "bring these files in a folder (any name, any depth) and run "
            f"`cellar fetch {select} --from FOLDER`"
        )
    for image in failed:
        if image.kind is ArtifactKind.IMAGE:
            source = f"docker://{repository(image.location)}@sha256:{image.sha256}"
            copy = f"skopeo copy --all --preserve-digests {source} dir:FOLDER/base"
            yield f"the base: `{copy}`"
    channels = sorted({artifact.channel for artifact in failed})
    if channels:
        names = ", ".join(f"CELLAR_{one.upper().replace('-', '_')}_MIRROR" for one in channels)
        yield f"or name a mirror that has them: {names}"
    gone = sum(isinstance(error, GoneError) for error in failures.values())
    if gone:
        yield f"{gone} left their channel: `make lock CELL={lock.cell}` makes {lock.folder} anew"
    elif lock.unlocked:
        yield f"for hashes: `make lock CELL={lock.cell}` makes {lock.folder} anew"


def _report(lock: Lock, tools: Tools, todo: FetchPlan, took: Iterable[Artifact]) -> Fetched:
    store = tools.store
    remaining = _missing(lock, store)
    if todo.missing and not remaining:
        digests = [one.sha256 for one in everything(lock, store)]
        store.note_complete(complete_name(lock), digests)
    quoted = [one for one in lock.artifacts() if one.quoted and store.has(one.sha256)]
    return Fetched(
        plan=todo,
        took=tuple(took),
        remaining=remaining,
        confirmed=tuple(replace(one, quoted=False, size=store.size(one.sha256)) for one in quoted),
    )


def confirmed_lock(lock: Lock, confirmed: Iterable[Artifact]) -> Lock:
    """Return `lock` with inputs as a fetch has confirmed them: no longer quoted, sizes known."""
    known = {artifact.sha256: artifact for artifact in confirmed}

    def seen(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
        return tuple(known.get(artifact.sha256, artifact) for artifact in artifacts)

    return replace(
        lock,
        base=lock.base and known.get(lock.base.sha256, lock.base),
        debs={group: seen(debs) for group, debs in lock.debs.items()},
        pip=tuple(replace(layer, artifacts=seen(layer.artifacts)) for layer in lock.pip),
        sources=seen(lock.sources),
    )
