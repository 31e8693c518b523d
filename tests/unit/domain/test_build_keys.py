"""The key of an op wheel: it follows what the compiler sees, and nothing else."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from builder.domain.artifact import ArtifactKind
from builder.domain.build_keys import image_key, op_key, tree_digest
from builder.domain.edits import Edit
from builder.domain.lockfile import Lock, PipLayer, RebuildInputs
from builder.domain.recipe import RebuildStage, Recipe
from tests.unit.commands import fakes

TEXT = """\
# a comment
FROM toolchain AS ops-build
ENV CFLAGS=-g0

FROM ops-build AS build-mmcv-full
RUN build --from=mmcv-full

FROM ops-build AS build-other
RUN build --from=other

FROM x
"""
TREES = {"steps": "s", "rootfs": "r", "evaluator": "e"}
LOCK = fakes.LOCK


def layer(name: str) -> Lock:
    layers = [
        replace(one, artifacts=(fakes.artifact("newer"),)) if one.name == name else one
        for one in LOCK.pip
    ]
    return replace(LOCK, pip=tuple(layers))


def key(lock: Lock = LOCK, text: str = TEXT, trees: Mapping[str, str] = TREES) -> str:
    recipe = fakes.order().recipe
    return op_key(lock.sources[0], recipe, lock, dockerfile=text, trees=trees)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        pytest.param(key(text=TEXT.replace("a comment", "words")), "same", id="a-comment"),
        pytest.param(key(text=TEXT.replace("FROM x", "FROM y")), "same", id="a-later-stage"),
        pytest.param(key(text=TEXT.replace("=other", "=new")), "same", id="another-op"),
        pytest.param(key(text=TEXT.replace("=mmcv-full", "=new")), "other", id="its-own-stage"),
        pytest.param(key(trees={**TREES, "evaluator": "f"}), "same", id="the-evaluator"),
        pytest.param(key(layer("runtime")), "same", id="a-layer-above-torch"),
        pytest.param(key(text=TEXT.replace("-g0", "-g1")), "other", id="a-flag"),
        pytest.param(key(trees={**TREES, "steps": "t"}), "other", id="a-script"),
        pytest.param(key(layer("torch")), "other", id="torch"),
        pytest.param(key(layer("build")), "other", id="a-build-tool"),
        pytest.param(key(replace(LOCK, debs={})), "other", id="a-compiler"),
        pytest.param(
            key(replace(LOCK, sources=(replace(LOCK.sources[0], sha256="0" * 64),))),
            "other",
            id="the-source",
        ),
    ],
)
def test_what_the_key_follows(other: str, verdict: str) -> None:
    assert (other == key()) is (verdict == "same")


def anew(name: str, *wheels: str) -> RebuildInputs:
    """Return what compiles the sdist `name` with `wheels`."""
    artifacts = tuple(fakes.artifact(wheel) for wheel in wheels)
    layer = PipLayer(name=f"rebuild-{name}", requirements="", artifacts=artifacts)
    return RebuildInputs(
        sdist=fakes.artifact(name, ArtifactKind.SDIST), requirements=(), layer=layer
    )


def op_keys(*rebuilds: RebuildInputs) -> dict[str, str]:
    """Return the keys of all ops of a lock that compiles `rebuilds` too."""
    lock = replace(
        LOCK,
        pip=(*LOCK.pip, *(one.layer for one in rebuilds)),
        sources=(*LOCK.sources, *(one.sdist for one in rebuilds)),
        rebuilds=rebuilds,
    )
    stages = {
        one.sdist.name: RebuildStage(wheels=one.layer.name, environment={}) for one in rebuilds
    }
    made = replace(fakes.order().recipe, rebuilds=stages)
    return {
        source.name: op_key(source, made, lock, dockerfile=TEXT, trees=TREES)
        for source in lock.sources
    }


def test_what_compiles_one_wheel_decides_no_other() -> None:
    before = op_keys(anew("numpy", "cython"), anew("cv2", "cmake"))
    after = op_keys(anew("numpy", "cython"), anew("cv2", "newer"))
    assert [name for name in before if before[name] != after[name]] == ["cv2"]
    assert before["mmcv-full"] == key()


EDIT = Edit(source="mmcv-full", file="a.py", find="x", replace="y", count=1, why="w", until="u")


@pytest.mark.parametrize(
    ("edit", "verdict"),
    [
        pytest.param(EDIT, "other", id="an-edit"),
        pytest.param(replace(EDIT, source="mmdet"), "same", id="of-another-source"),
        pytest.param(replace(EDIT, cells=("cu130",)), "same", id="for-another-cell"),
    ],
)
def test_edits_of_a_source_decide_its_wheel_and_the_image(edit: Edit, verdict: str) -> None:
    edited = replace(fakes.order().recipe, edits=(edit,))
    reworded = replace(edited, edits=(replace(edit, why="because", until="never"),))
    assert (keys(edited) == keys(fakes.order().recipe)) is (verdict == "same")
    assert keys(edited) == keys(reworded)


def keys(recipe: Recipe) -> list[str]:
    wheel = op_key(LOCK.sources[0], recipe, LOCK, dockerfile=TEXT, trees=TREES)
    return [wheel, image_key(recipe, LOCK, dockerfile=TEXT, target="runtime", trees=TREES)]


def test_a_tree_is_its_paths_modes_and_contents() -> None:
    tree = {"a": (0o644, "1"), "b": (0o755, "2")}
    assert tree_digest(tree) == tree_digest(dict(reversed(tree.items())))
    others = [
        {"a": (0o755, "1"), "b": (0o755, "2")},
        {"a": (0o644, "3"), "b": (0o755, "2")},
        {"a": (0o644, "1"), "c": (0o755, "2")},
    ]
    assert len({tree_digest(tree), *map(tree_digest, others)}) == 4
