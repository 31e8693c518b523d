"""A verification is bound to the image that was there, and proves no more than its checks."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.commands.build import build
from builder.commands.verify import Inspection, Tools, verify
from builder.domain.artifact import ArtifactKind
from builder.domain.evidence import Check, Level, Outcome
from builder.domain.lockfile import Lock, Unlocked
from builder.errors import UsageError
from tests.unit.commands import fakes

AUDIT = Check(name="audit", level=Level.L0, outcome=Outcome.PASSED, seconds=1)
IMPORTS = Check(name="imports", level=Level.L1, outcome=Outcome.PASSED, seconds=1)
GAP = Unlocked(kind=ArtifactKind.SOURCE, name="x", version="1", channel="git", reason="unreachable")


def tools(engine: fakes.FakeEngine) -> Tools:
    return Tools(
        engine=engine,
        tests=lambda: [IMPORTS],
        inspect=lambda _: Inspection(size=7, audit=AUDIT),
        key=lambda image: f"key of {image.tag}",
    )


@pytest.mark.parametrize(
    ("lock", "detail", "level"),
    [
        pytest.param(fakes.LOCK, "6 inputs", Level.L1, id="locked"),
        pytest.param(replace(fakes.LOCK, unlocked=(GAP,)), "x has no hash", None, id="unlocked"),
        pytest.param(
            replace(fakes.LOCK, sources=(replace(fakes.LOCK.sources[0], quoted=True),)),
            "mmcv-full-1.whl is only quoted",
            None,
            id="quoted",
        ),
    ],
)
def test_evidence(lock: Lock, detail: str, level: Level | None, tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    built = build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    evidence = verify(fakes.order(lock), tools(engine))
    assert (evidence.digest, evidence.size) == (built.image.digest, 7)
    assert evidence.key == "key of cellar/bevformer:cpu"
    assert [check.name for check in evidence.checks[1:]] == ["audit", "imports"]
    assert (evidence.checks[0].detail, evidence.level) == (detail, level)


def test_no_image_is_said() -> None:
    with pytest.raises(UsageError, match=r"^fake has no image cellar/bevformer:cpu$"):
        verify(fakes.order(), tools(fakes.FakeEngine()))
