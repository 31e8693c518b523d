"""The named contexts of a build, laid out in a work directory from the store and the checkout."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from packaging.utils import parse_wheel_filename

from builder.adapters.engines import bootstrap, oci
from builder.adapters.engines.source_context import write_source
from builder.adapters.storage.folder import storage_errors
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.build_keys import tree_digest
from builder.domain.edits import needed
from builder.domain.image_parts import parts
from builder.domain.lockfile import Lock
from builder.domain.recipe import Recipe, groups, sources_of
from builder.domain.store import Store

_PLAIN, _EXECUTABLE = 0o644, 0o755
_LEFTOVERS = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")
# What the evaluator's wheel is made of; its tests and tools change no image.
_EVALUATOR = ("pyproject.toml", "setup.cfg", "README.md", "src")


class BuildContexts:
    """Writes contexts whose bytes depend on the lock and the checkout, on no umask and no clock."""

    def __init__(self, root: Path, store: Store) -> None:
        self._root, self._store = root, store

    def tree_digests(self, image: str) -> Mapping[str, str]:
        """Return the digests of the contexts that come from the checkout, by context."""
        # Of the bootstrap only the code is ours; its packages are the lock's.
        return {"bootstrap": _own_code(bootstrap), **self._digests(image)}

    def _digests(self, image: str) -> Mapping[str, str]:
        return {
            name: tree_digest(
                {
                    place: (_mode(path), hashlib.sha256(path.read_bytes()).hexdigest())
                    for place, path in files
                }
            )
            for name, files in self._checkout(image)
        }

    def write(self, recipe: Recipe, lock: Lock, into: Path) -> Mapping[str, Path]:
        """Lay out every context of `recipe` below `into`, replacing what stands there."""
        with storage_errors(into):
            return self._write(recipe, lock, into)

    def _write(self, recipe: Recipe, lock: Lock, into: Path) -> Mapping[str, Path]:
        shutil.rmtree(into, ignore_errors=True)
        contexts = {name: into / name for name in recipe.contexts if name != "ops"}
        for path in contexts.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._link(_debs(lock, contexts["debs"]))
        self._link(_wheels(recipe, lock, contexts["wheelhouse"]))
        self._write_requirements(recipe, lock, contexts["wheelhouse"])
        for source in sources_of(recipe.cell, lock):
            edits = needed(recipe.edits, source=source.name, cell=recipe.cell.id)
            write_source(source, edits, self._store, contexts["sources"] / source.name)
        for name, files in self._checkout(recipe.image.name):
            for place, path in files:
                _copy(path, contexts[name] / place)
        if lock.base is None:
            contexts["bootstrap"] = self._bootstrap(recipe.image.epoch, lock, into.parent)
        else:
            self._write_vendor(lock.base, contexts["vendor"])
        for path in into.rglob("*/"):
            path.chmod(_EXECUTABLE)
        return contexts

    def write_text(self, text: str, path: Path) -> Path:
        """Write a file, such as the Dockerfile, and return its path."""
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return path

    def write_ops(self, wheels: Iterable[Path], into: Path) -> Path:
        """Make `into` hold exactly these wheels, and return it."""
        with storage_errors(into):
            shutil.rmtree(into, ignore_errors=True)
            for wheel in wheels:
                _copy(wheel, into / wheel.name)
        return into

    def wheels(self, folder: Path) -> Mapping[str, Path]:
        """Return the wheels of a folder by the normalised name of their distribution."""
        return {parse_wheel_filename(path.name)[0]: path for path in folder.glob("*.whl")}

    def _bootstrap(self, epoch: int, lock: Lock, beside: Path) -> Path:
        """Return the bootstrap's layout, from an earlier build where its inputs are the same."""
        debs = lock.debs["essential"]
        inputs = [_own_code(bootstrap), str(epoch), *sorted(deb.sha256 for deb in debs)]
        key = hashlib.sha256("\n".join(inputs).encode()).hexdigest()
        path = beside / f"bootstrap-{key[:16]}"
        if not (path / oci.MARK).is_file():
            for stale in beside.glob("bootstrap-*"):
                shutil.rmtree(stale)
            essential = [self._store.path(deb) for deb in debs]
            bootstrap.write_bootstrap(essential, path, epoch=epoch)
        return path

    def _write_vendor(self, image: Artifact, into: Path) -> None:
        children = parts(self._store.path(image).read_bytes(), image)
        if children[0].kind is ArtifactKind.IMAGE:  # an index: the manifest is behind it
            image = children[0]
            children = parts(self._store.path(image).read_bytes(), image)
        blobs = into / "blobs" / "sha256"
        for part in (image, *children):
            self._store.link_into(replace(part, filename=part.sha256), blobs)
        oci.write_index(into, image.sha256)

    def _link(self, places: Iterable[tuple[Artifact, Path]]) -> None:
        """Put each artifact into its folder; hashing gigabytes is what building again waits for."""
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda place: self._store.link_into(*place), places):
                pass

    def _write_requirements(self, recipe: Recipe, lock: Lock, into: Path) -> None:
        for name in _layers(recipe):
            for folder, artifacts in groups(name, lock.layer(name).artifacts).items():
                # a lock that is being made has no wheels yet
                (into / folder).mkdir(parents=True, exist_ok=True)
                (into / folder / "requirements.txt").write_text(_requirements(artifacts))

    def _checkout(self, image: str) -> Iterator[tuple[str, list[tuple[str, Path]]]]:
        folder = self._root / "images" / image
        yield "steps", _files(self._root / "templates" / "steps")
        yield "rootfs", _files(folder / "rootfs")
        evaluator = folder / "evaluator"
        parts = [evaluator / name for name in _EVALUATOR]
        yield (
            "evaluator",
            [
                (f"evaluator/{path.relative_to(evaluator)}", path)
                for part in parts
                for path in ([part] if part.is_file() else [path for _, path in _files(part)])
            ],
        )


def _layers(recipe: Recipe) -> list[str]:
    stages = [stage.wheels for stage in recipe.rebuilds.values()]
    return [layer.name for layer in recipe.image.layers] + stages


def _debs(lock: Lock, into: Path) -> Iterator[tuple[Artifact, Path]]:
    for group, debs in lock.debs.items():
        yield from ((deb, into / group) for deb in debs)


def _wheels(recipe: Recipe, lock: Lock, into: Path) -> Iterator[tuple[Artifact, Path]]:
    for name in _layers(recipe):
        locked = lock.layer(name).artifacts
        for folder, artifacts in groups(name, locked).items():
            yield from ((artifact, into / folder) for artifact in artifacts)
    # One pip for all layers: it may be locked in several.
    pips = {
        a.filename: a
        for name in _layers(recipe)
        for a in lock.layer(name).artifacts
        if a.name == "pip"
    }
    yield from ((pip, into / "pip") for pip in pips.values())


def _own_code(module: ModuleType) -> str:
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()


def _files(folder: Path) -> list[tuple[str, Path]]:
    return [
        (str(path.relative_to(folder)), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_leftover(path.relative_to(folder))
    ]


def _is_leftover(path: Path) -> bool:
    return any(part in _LEFTOVERS or part.endswith(".egg-info") for part in path.parts)


def _mode(path: Path) -> int:
    return _EXECUTABLE if path.stat().st_mode & 0o100 else _PLAIN


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(_mode(source))


def _requirements(artifacts: tuple[Artifact, ...]) -> str:
    lines = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in artifacts]
    return "".join(sorted(lines))
