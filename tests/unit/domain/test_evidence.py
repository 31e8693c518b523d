"""The level that a verification reached, and its document."""

import pytest

from builder.domain.evidence import Check, Evidence, Level, Outcome, document, reached

PASSED, FAILED, SKIPPED = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED


def check(level: Level, outcome: Outcome, *, required: bool = True) -> Check:
    name = f"{level.name} {outcome}"
    return Check(name=name, level=level, outcome=outcome, seconds=1.26, required=required)


@pytest.mark.parametrize(
    ("checks", "level"),
    [
        pytest.param([], None, id="nothing-was-checked"),
        pytest.param([check(Level.L0, PASSED)], Level.L0, id="one-level"),
        pytest.param([check(Level.L1, PASSED)], None, id="a-lower-level-was-not-checked"),
        pytest.param(
            [check(Level.L0, PASSED), check(Level.L1, FAILED), check(Level.L2, PASSED)],
            Level.L0,
            id="a-failure-below-what-passed",
        ),
        pytest.param(
            [check(Level.L0, PASSED), check(Level.L0, FAILED)], None, id="one-of-two-failed"
        ),
        pytest.param(
            [check(Level.L0, PASSED), check(Level.L1, PASSED), check(Level.L1, SKIPPED)],
            Level.L0,
            id="a-required-check-was-skipped",
        ),
        pytest.param(
            [
                check(Level.L0, PASSED),
                check(Level.L1, PASSED),
                check(Level.L1, SKIPPED, required=False),
            ],
            Level.L1,
            id="an-optional-check-was-skipped",
        ),
        pytest.param(
            [check(Level.L0, PASSED), check(Level.L1, FAILED, required=False)],
            Level.L0,
            id="an-optional-check-failed",
        ),
        pytest.param(
            [check(Level.L0, SKIPPED, required=False)], None, id="only-skipped-proves-nothing"
        ),
        pytest.param([check(level, PASSED) for level in Level], Level.L3, id="everything"),
    ],
)
def test_level_reached(checks: list[Check], level: Level | None) -> None:
    assert reached(checks) is level


def test_document() -> None:
    evidence = Evidence(
        image="cellar/x:cpu",
        digest="sha256:" + "1" * 64,
        size=5,
        key="k",
        cell="cpu",
        isa="x86-64",
        runs_from="x86-64-v2",
        engine="docker 26",
        device="cpu",
        checks=(check(Level.L0, PASSED), check(Level.L1, FAILED)),
    )
    assert document(evidence) == {
        "schema": 1,
        "image": "cellar/x:cpu",
        "digest": "sha256:" + "1" * 64,
        "size": 5,
        "key": "k",
        "cell": "cpu",
        "isa": "x86-64",
        "runs_from": "x86-64-v2",
        "engine": "docker 26",
        "device": "cpu",
        "level": "L0",
        "failed": ["L1 failed"],
        "checks": [
            {
                "name": "L0 passed",
                "level": "L0",
                "outcome": "passed",
                "seconds": 1.3,
                "detail": "",
                "required": True,
            },
            {
                "name": "L1 failed",
                "level": "L1",
                "outcome": "failed",
                "seconds": 1.3,
                "detail": "",
                "required": True,
            },
        ],
    }
    assert [one.name for one in evidence.failed] == ["L1 failed"]
