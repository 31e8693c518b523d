"""The stage of a cell: the furthest of what stands in the repository."""

import pytest

from builder.domain.cell_state import CellState, Proof


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        pytest.param(CellState(), "declared", id="declared"),
        pytest.param(CellState(locked=True), "locked", id="locked"),
        pytest.param(CellState(locked=True, rendered=True), "rendered", id="rendered"),
        pytest.param(CellState(locked=True, rendered=True, digest="d"), "built", id="built"),
        pytest.param(CellState(digest="d", gpu="9.0"), "built", id="built-for-some"),
        pytest.param(
            CellState(digest="d", proofs=(Proof(device="cpu", level="L2"),)),
            "verified",
            id="verified",
        ),
    ],
)
def test_the_stage_is_the_furthest(state: CellState, stage: str) -> None:
    assert state.stage == stage
