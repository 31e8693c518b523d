"""What decides a result, as one hash: the key of an op wheel, and that of a whole image."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from builder.domain.artifact import Artifact
from builder.domain.edits import needed
from builder.domain.lockfile import Lock
from builder.domain.recipe import TORCH, Recipe, sources_of

_COMMENT = re.compile(r"^#.*\n", re.MULTILINE)


def op_key(
    source: Artifact, recipe: Recipe, lock: Lock, *, dockerfile: str, trees: Mapping[str, str]
) -> str:
    """Return the key of the wheel that `source` is compiled into, as `name-version-<sha256>`.

    It covers the source, everything installed in the stage that compiles it, the stages' text with
    the compiler's flags, and the scripts they call; `trees` maps a context to its digest. No other
    op decides it.
    """
    layers = [layer.name for layer in recipe.image.layers if layer.stage == "toolchain"]
    if source.name in recipe.rebuilds:
        layers.append(recipe.rebuilds[source.name].wheels)
    inputs = {
        "source": source.sha256,
        "stages": _COMMENT.sub("", _stages_of(source.name, dockerfile)),
        "base": lock.base.sha256 if lock.base else None,
        "debs": {name: _digests(lock.debs[name]) for name in sorted(lock.debs)},
        "wheels": {name: _digests(lock.layer(name).artifacts) for name in sorted([TORCH, *layers])},
        "steps": trees["steps"],
        "rootfs": trees["rootfs"],
        **_edits(recipe, source),
    }
    return f"{source.name}-{source.version}-{_hash(inputs)}"


def _stages_of(op: str, dockerfile: str) -> str:
    """Return the stages that an op wheel comes from: the shared ones, then its own."""
    shared, *own = re.split(r"^FROM ops-build AS ", dockerfile, flags=re.MULTILINE)
    mine = [stage for stage in own if stage.startswith(f"build-{op}\n")]
    return shared + "".join(mine).split("\nFROM ", 1)[0]


def _edits(recipe: Recipe, *sources: Artifact) -> dict[str, list[object]]:
    """Return what is changed in the sources; nothing where nothing is. Reasons change no byte."""
    found: list[object] = [
        [edit.source, edit.file, edit.find, edit.replace]
        for source in sources
        for edit in needed(recipe.edits, source=source.name, cell=recipe.cell.id)
    ]
    return {"edits": found} if found else {}


def image_key(
    recipe: Recipe, lock: Lock, *, dockerfile: str, target: str, trees: Mapping[str, str]
) -> str:
    """Return the hash of all that goes into one target's image."""
    inputs = {
        "dockerfile": dockerfile,
        "annotations": dict(recipe.annotations),
        "target": target,
        "inputs": _digests(lock.artifacts()),
        "trees": dict(trees),
        **_edits(recipe, *sources_of(recipe.cell, lock)),
    }
    return _hash(inputs)


def tree_digest(files: Mapping[str, tuple[int, str]]) -> str:
    """Return the digest of a tree, given mode and sha256 of each file by its relative path."""
    return _hash({path: list(facts) for path, facts in files.items()})


def _digests(artifacts: Iterable[Artifact]) -> list[str]:
    return sorted(artifact.sha256 for artifact in artifacts)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
