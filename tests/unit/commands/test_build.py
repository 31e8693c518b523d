"""A build: what is compiled, what is kept, what is refused before anything starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.commands.build import Order, build, key_of, op_keys
from builder.domain.artifact import ArtifactKind
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import Lock, Unlocked
from builder.errors import EngineError, IntegrityError, NetworkError
from tests.unit.commands import fakes

TAG = "cellar/bevformer:cpu"


def test_the_first_build_compiles_and_the_second_takes_the_wheel(tmp_path: Path) -> None:
    engine, store = fakes.FakeEngine(), fakes.FakeStore()
    tools = fakes.tools(tmp_path, engine=engine, store=store)
    first = build(fakes.order(), tools)
    second = build(fakes.order(), tools)
    assert [request.target for request in engine.builds] == ["op-mmcv-full", "runtime", "runtime"]
    assert "ops" not in engine.builds[0].contexts
    assert engine.builds[1].contexts["ops"] == tmp_path / "contexts" / "ops"
    assert (first.compiled, second.compiled) == (tuple(store.wheels), ())
    assert first.wheels == second.wheels == store.wheels
    assert next(iter(store.wheels)).startswith("mmcv-full-1-")
    assert first.image == second.image == engine.find(TAG)


def test_a_cold_build_compiles_again_and_keeps_nothing(tmp_path: Path) -> None:
    engine, store = fakes.FakeEngine(), fakes.FakeStore()
    tools = fakes.tools(tmp_path, engine=engine, store=store)
    built = build(replace(fakes.order(), cold=True, compile=True, suffix="-again"), tools)
    built_cold = [(one.target, one.cold) for one in engine.builds]
    assert built_cold == [("op-mmcv-full", True), ("runtime", True)]
    assert store.wheels == {}
    assert built.image.tag == f"{TAG}-again"


@pytest.mark.parametrize(
    ("isa", "words"),
    [
        pytest.param(IsaLevel.V2, "--cell cpu", id="the-cells-level"),
        pytest.param(IsaLevel.V3, "--cell cpu --isa x86-64-v3", id="another-level"),
    ],
)
def test_missing_inputs_are_named_before_anything_starts(
    isa: IsaLevel, words: str, tmp_path: Path
) -> None:
    engine = fakes.FakeEngine()
    names = ["essential", "in-build", "in-runtime", "in-torch", "mmcv-full"]
    tools = fakes.tools(tmp_path, engine=engine, store=fakes.FakeStore(lacks=names))
    order = fakes.order()
    chosen = replace(order.recipe.selection, isa=isa)
    with pytest.raises(NetworkError) as raised:
        build(replace(order, recipe=replace(order.recipe, selection=chosen)), tools)
    expected = "cpu: the store lacks essential-1.whl, in-torch-1.whl, in-runtime-1.whl and 2 more"
    assert str(raised.value) == expected
    assert raised.value.hint == f"`cellar fetch {words}` brings what is missing"
    assert engine.builds == []


def _gap(kind: ArtifactKind) -> Lock:
    gap = Unlocked(kind=kind, name="x", version="1", channel="git", reason="no answer")
    return replace(fakes.LOCK, unlocked=(gap,))


def test_inputs_without_a_hash_are_named_before_anything_starts(tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    order = fakes.order(_gap(ArtifactKind.WHEEL))
    with pytest.raises(NetworkError) as raised:
        build(order, fakes.tools(tmp_path, engine=engine))
    assert str(raised.value) == "cpu: the lock has no hash of x 1: no answer"
    assert raised.value.hint == "`cellar lock --cell cpu` where they can be reached"
    assert engine.builds == []


def test_a_source_without_a_hash_is_left_out_and_named(tmp_path: Path) -> None:
    lock = _gap(ArtifactKind.SOURCE)
    built = build(fakes.order(lock), fakes.tools(tmp_path))
    assert built.absent == lock.unlocked


def test_a_new_source_compiles_no_other_again(tmp_path: Path) -> None:
    engine, store = fakes.FakeEngine(), fakes.FakeStore()
    tools = fakes.tools(tmp_path, engine=engine, store=store)
    first = build(fakes.order(), tools)
    other = fakes.artifact("mmdet3d", ArtifactKind.SOURCE)
    second = build(fakes.order(replace(fakes.LOCK, sources=(*fakes.LOCK.sources, other))), tools)
    assert [request.target for request in engine.builds][2:] == ["op-mmdet3d", "runtime"]
    assert set(second.compiled) == set(second.wheels) - set(first.wheels)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mmdet-1-cp311-cp311-linux_x86_64.whl", id="distribution"),
        pytest.param("mmcv_full-2-cp311-cp311-linux_x86_64.whl", id="version"),
        pytest.param("mmcv_full-1-cp313-cp313-linux_x86_64.whl", id="python"),
        pytest.param("mmcv_full.whl", id="no-wheel"),
    ],
)
def test_a_kept_wheel_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    tools = fakes.tools(tmp_path, engine=engine)
    (key,) = op_keys(fakes.order(), tools).values()
    store = fakes.FakeStore(wheels={key: tmp_path / key / name})
    with pytest.raises(IntegrityError) as raised:
        build(fakes.order(), replace(tools, store=store))
    what = "stands under the key of mmcv-full 1 for cell cpu, which it is not"
    assert str(raised.value) == f"op wheel {name} {what}"
    assert raised.value.hint == f"remove {tmp_path / key}: it is compiled anew"
    assert engine.builds == []


def test_ops_without_a_wheel_are_named(tmp_path: Path) -> None:
    tools = fakes.tools(tmp_path, engine=fakes.FakeEngine(wheel=None))
    with pytest.raises(EngineError, match=r"^the build of the ops gave no wheel of mmcv-full$"):
        build(fakes.order(), tools)


def _other_lock(order: Order) -> Order:
    return replace(order, lock=replace(order.lock, debs={}))


@pytest.mark.parametrize(
    ("change", "evaluator", "verdict"),
    [
        pytest.param(lambda order: order, "one", "same", id="nothing"),
        pytest.param(lambda order: order, "two", "other", id="evaluator"),
        pytest.param(lambda order: replace(order, target="devel"), "one", "other", id="target"),
        pytest.param(lambda order: replace(order, cold=True), "one", "same", id="how-it-is-built"),
        pytest.param(_other_lock, "one", "other", id="lock"),
    ],
)
def test_the_key_of_an_image_follows_its_inputs(
    change: Callable[[Order], Order], evaluator: str, verdict: str, tmp_path: Path
) -> None:
    before = key_of(fakes.order(), fakes.tools(tmp_path))
    contexts = fakes.FakeContexts(evaluator=evaluator)
    after = key_of(change(fakes.order()), fakes.tools(tmp_path, contexts=contexts))
    assert (before == after) is (verdict == "same")
