"""`cellar image`: everything the first time, nothing the second, only what an edit asks for."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from builder.adapters.data import evidence_files
from builder.adapters.host import host_install
from builder.cli import building, image, main, storage, verify, wiring
from builder.commands.build import Order
from builder.domain.engine import Engine
from builder.domain.evidence import Check, Evidence, Level, Outcome, document
from builder.domain.host_plan import EngineName, HostPlan
from builder.errors import NetworkError
from tests.unit.commands import fakes

PASSED = Check(name="everything", level=Level.L0, outcome=Outcome.PASSED, seconds=1)


@dataclass
class World:
    """What a run of `cellar image` meets, and what it did."""

    work: Path
    engine: fakes.FakeEngine = field(default_factory=fakes.FakeEngine)
    store: fakes.FakeStore = field(default_factory=fakes.FakeStore)
    contexts: fakes.FakeContexts = field(default_factory=fakes.FakeContexts)
    check: Check = PASSED
    lacking: HostPlan | None = None
    unreachable: bool = False
    done: list[str] = field(default_factory=list)

    def fetch(self, *_: object) -> None:
        self.done.append("fetch")
        if self.unreachable:
            message = "2 inputs cannot be had"
            raise NetworkError(message)

    def installed(self, steps: HostPlan, _: object) -> None:
        if not steps.empty:
            self.done.append(f"install {' '.join(steps.packages)}")
            self.lacking = None

    def verified(self, order: Order, engine: Engine) -> Evidence:
        self.done.append("verify")
        found = engine.find(order.tag)
        assert found is not None
        return Evidence(
            image=order.tag,
            digest=found.digest,
            size=395_000_000,
            key=verify._key_of(order, engine, found),
            cell="cpu",
            isa="x86-64",
            runs_from="x86-64-v2",
            engine=engine.version(),
            device="cpu",
            checks=(self.check,),
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(work=tmp_path / "work", engine=fakes.FakeEngine(name="docker"))
    tools = fakes.tools(made.work, engine=made.engine, store=made.store, contexts=made.contexts)

    def verified(order: Order, engine: Engine) -> Evidence:
        evidence = made.verified(order, engine)
        evidence_files.write(document(evidence), building.evidence_path(order, engine.name))
        return evidence

    monkeypatch.setattr(host_install, "needed", lambda name: made.lacking or HostPlan(engine=name))
    monkeypatch.setattr(host_install, "carry_out", made.installed)
    monkeypatch.setattr(building, "order", lambda _, target: replace(fakes.order(), target=target))
    monkeypatch.setattr(building, "tools", lambda *_: tools)
    monkeypatch.setattr(building, "work_folder", lambda *_: made.work)
    monkeypatch.setattr(building, "evidence_path", lambda *_: tmp_path / "evidence.json")
    monkeypatch.setattr(image, "fetch", made.fetch)
    monkeypatch.setattr(storage, "fetch_tools", lambda: None)
    monkeypatch.setattr(verify, "verified", verified)
    monkeypatch.setattr(wiring, "progress", fakes.Silence)
    return made


def _image() -> int:
    return main(["image", "--cell", "cpu"])


def test_the_first_time_everything_the_second_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _image() == 0
    assert (world.done, len(world.engine.builds)) == (["fetch", "verify"], 2)
    first = capsys.readouterr().out
    assert _image() == 0
    assert (world.done, len(world.engine.builds)) == (["fetch", "verify"], 2)
    summary = capsys.readouterr().out
    assert first.endswith(summary)
    assert summary.splitlines() == [
        "cell      cpu",
        "image     cellar/bevformer:cpu",
        f"digest    sha256:{fakes.sha('image')}",
        "size      395.0 MB compressed",
        "verified  L0 on cpu",
        "needs     a CPU of x86-64-v2 or later",
        "next      docker run --rm cellar/bevformer:cpu bevformer-eval --synthetic --check-golden",
    ]


def test_an_engine_is_installed_once_all_inputs_are_there(world: World) -> None:
    world.lacking = HostPlan(engine=EngineName.DOCKER, packages=("docker.io",))
    world.unreachable = True
    assert main(["image", "--cell", "cpu"]) == NetworkError.exit_code
    assert world.done == ["fetch"]
    world.unreachable = False
    assert _image() == 0
    assert world.done == ["fetch", "fetch", "install docker.io", "verify"]


def test_an_edit_builds_and_verifies_again_but_compiles_nothing(world: World) -> None:
    assert _image() == 0
    world.contexts.evaluator = "edited"
    assert _image() == 0
    assert world.done == ["fetch", "verify"] * 2
    targets = [request.target for request in world.engine.builds]
    assert targets == ["op-mmcv-full", "runtime", "runtime"]


@pytest.mark.parametrize("gone", ["image", "evidence", "other-image"])
def test_what_is_gone_is_made_again(gone: str, world: World, tmp_path: Path) -> None:
    assert _image() == 0
    if gone == "evidence":
        (tmp_path / "evidence.json").write_text("{torn")
    else:
        found = world.engine.images.pop("cellar/bevformer:cpu")
        if gone == "other-image":
            other = replace(found, digest=f"sha256:{fakes.sha('other')}")
            world.engine.images[other.tag] = other
    assert _image() == 0
    assert world.done == ["fetch", "verify"] * 2


def test_a_failed_check_is_no_success_and_is_tried_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.check = replace(PASSED, outcome=Outcome.FAILED, detail="saw [red] things")
    assert _image() == 8
    words = capsys.readouterr()
    assert "cellar/bevformer:cpu: 1 checks failed: everything (L0)" in words.err
    assert "saw [red] things" in words.out
    world.check = PASSED
    assert _image() == 0
    assert world.done == ["fetch", "verify"] * 2
