"""What the tests of a bundle found on another machine, read back."""

import json
from pathlib import Path

import pytest

from builder.adapters.engines.image_tests import read_results
from builder.domain.evidence import Check, Level, Outcome, Recorded
from builder.errors import DataError

HEAD = {"digest": "sha256:1", "engine": "unshare", "device": "NVIDIA H200"}
ROW = {
    "name": "test_the_ground_truth_scores_one",
    "level": "L2",
    "outcome": "passed",
    "seconds": 1.5,
    "detail": "mAP 1",
    "required": True,
}


def test_results_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (HEAD, ROW)))
    check = Check(
        name="the ground truth scores one",
        level=Level.L2,
        outcome=Outcome.PASSED,
        seconds=1.5,
        detail="mAP 1",
    )
    assert read_results(path) == Recorded(**HEAD, checks=(check,))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("no JSON", id="text"),
        pytest.param(json.dumps(ROW), id="without-a-head"),
        pytest.param(json.dumps(HEAD) + "\n" + json.dumps(HEAD), id="two-heads"),
        pytest.param("[]", id="a-list"),
    ],
)
def test_anything_else_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="no results of a bundle's tests") as raised:
        read_results(path)
    hint = f"`pytest tests/image --bundle FOLDER --results {path}` writes them"
    assert raised.value.hint == hint
