"""`cellar lock`: a cell's lock, made anew inside the cell's own base."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from builder.adapters import files
from builder.adapters.engines.build_context import BuildContexts
from builder.adapters.locking.apt import Apt
from builder.adapters.locking.host_pip import HOME, HostPip
from builder.adapters.locking.piptools import PipTools
from builder.adapters.network.channel_settings import read_settings
from builder.adapters.network.index_files import IndexFiles
from builder.cli import building, selection, storage, wiring
from builder.cli.build import add_engine_option
from builder.commands.fetch import Wish, fetch
from builder.commands.lock import Resolver, Tools, make, settle
from builder.commands.render import plain
from builder.domain.artifact import Artifact
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.leaks import leaks
from builder.domain.lock_changes import changes
from builder.domain.lock_files import dump
from builder.domain.lockfile import BASE_GROUPS, Lock
from builder.domain.locking import Definition
from builder.domain.matrix import DebianBase
from builder.domain.resolve import Selection
from builder.errors import CellarError, DataError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    add_engine_option(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say what a new lock would change, and fail if it is anything",
    )


def execute(args: argparse.Namespace) -> int:
    """Lock one cell; the old lock stands untouched until the new one is complete."""
    chosen = plain(selection.matrix(args), selection.select(args).cell.id)  # for any ISA level
    folder = wiring.lock_folder(args.image, chosen.cell)
    rebuilds = building.matrix(args.image).tables.rebuilds(chosen.cell.id)
    definition = replace(wiring.definition(args.image, chosen.cell), rebuilds=rebuilds)
    host = HostPip.read()
    workshop = _Workshop(selection=chosen, definition=definition, host=host, engine=args.engine)
    if isinstance(chosen.cell.base, DebianBase):
        building.engine(args.engine).version()  # without one the work would be for nothing
    old = files.read_lock(folder).lock if files.texts_of(folder) else None
    lock = settle(make(definition, workshop.tools(), wiring.progress()), old)
    texts = dump(lock)
    if found := leaks(texts, host.private_words()):
        message = "the lock would tell what is private:\n" + "\n".join(found)
        raise DataError(message, hint="report this: a lock names packages and hashes, nothing else")
    return _check(texts, folder, old, lock) if args.check else _write(texts, folder, old, lock)


def _write(texts: Mapping[str, str], folder: Path, old: Lock | None, lock: Lock) -> int:
    say = wiring.progress().say
    if texts == files.texts_of(folder):
        say(f"{lock.folder}: {_amount(lock)}, nothing has changed")
        return 0
    files.write_lock(folder, texts)
    for line in changes(old, lock) if old else ():
        say(line)
    say(f"{lock.folder}: {_amount(lock)} written; next: `make image CELL={lock.cell}`")
    return 0


def _check(texts: Mapping[str, str], folder: Path, old: Lock | None, lock: Lock) -> int:
    current = files.texts_of(folder)
    stale = sorted(
        name for name in texts.keys() | current.keys() if texts.get(name) != current.get(name)
    )
    if not stale:
        wiring.progress().say(f"{lock.folder}: {_amount(lock)}, a new lock is the same")
        return 0
    message = f"{lock.folder}: a new lock differs in {', '.join(stale)}"
    raise CellarError(
        "\n".join([message, *changes(old, lock)]), hint=f"`make lock CELL={lock.cell}`"
    )


def _amount(lock: Lock) -> str:
    debs = sum(len(group) for group in lock.debs.values())
    wheels = sum(len(layer.artifacts) for layer in lock.pip)
    open_rows = f", {len(lock.unlocked)} inputs without a hash" if lock.unlocked else ""
    anew = f", {len(lock.rebuilds)} wheels that can be compiled anew" if lock.rebuilds else ""
    return f"{debs} debs, {wheels} wheels, {len(lock.sources)} sources{anew}{open_rows}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workshop:
    """The adapters that make one lock."""

    selection: Selection
    definition: Definition
    host: HostPip
    engine: str

    def tools(self) -> Tools:
        """Return what `make` works with."""
        not_after = datetime.fromisoformat(self.definition.image.not_after)
        return Tools(
            debs=_debs,
            resolver=self._resolver,
            index=IndexFiles(read_settings(), not_after=not_after),
        )

    @contextmanager
    def _resolver(self, lock: Lock) -> Iterator[Resolver]:
        """Build the cell's base from the .debs of `lock`, and open pip-compile in it."""
        lock = replace(lock, debs={group: lock.debs[group] for group in BASE_GROUPS})
        engine = building.engine(self.engine)
        fetch(Wish(lock=lock), storage.fetch_tools())
        with TemporaryDirectory(prefix="cellar-lock-") as work:
            image = engine.build_image(
                self._request(lock, Path(work)),
                tag=f"cellar/{lock.image}:{lock.cell}-base",
                progress=wiring.progress(),
            )
            with PipTools(
                lambda argv, mounts: engine.run(image, argv, _options(mounts)),
                python=self.definition.cell.python,
                host=self.host,
                not_after=self.definition.image.not_after,
            ) as pip:
                yield pip

    def _request(self, lock: Lock, work: Path) -> BuildRequest:
        """Lay out the build of the base alone; the Dockerfile is the cell's own."""
        recipe = building.recipe_with(self.selection, lock)
        writer = BuildContexts(wiring.root(), storage.store())
        contexts = writer.write(recipe, lock, work / "contexts")
        return BuildRequest(
            dockerfile=writer.write_text(building.dockerfile(recipe), work / "Dockerfile"),
            target="base",
            contexts={name: path for name, path in contexts.items() if path.is_dir()},
            epoch=self.definition.image.epoch,
        )


def _debs(
    base: DebianBase, groups: Mapping[str, Sequence[str]]
) -> Mapping[str, tuple[Artifact, ...]]:
    with TemporaryDirectory(prefix="cellar-apt-") as root:
        apt = Apt.open(Path(root), suite=base.suite, components=base.components)
        return apt.resolve(groups)


def _options(mounts: Mapping[Path, PurePosixPath]) -> RunOptions:
    return RunOptions(
        mounts={path: str(place) for path, place in mounts.items()},
        writable=frozenset((str(HOME),)),
        network=True,
    )
