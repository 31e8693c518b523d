"""A program that is to end although nobody interrupts the thread that waits for it."""

import signal
import threading

import pytest

from builder.adapters import process
from builder.adapters.process import ToolError, stream

SLEEP = "exec sleep 60"


@pytest.mark.parametrize(
    ("script", "number"),
    [
        pytest.param(SLEEP, 2, id="listens"),
        pytest.param(f"trap '' INT; {SLEEP}", 15, id="ignores-SIGINT-as-in-the-background"),
        pytest.param(f"trap '' INT TERM; {SLEEP}", 9, id="ignores-all-it-can"),
    ],
)
def test_a_silent_program_is_ended_from_another_thread(
    script: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = {signal.SIGINT: 0.3, signal.SIGTERM: 0.3}
    monkeypatch.setattr(process, "_PATIENCE_S", patience)
    ending = threading.Event()
    threading.Timer(0.3, ending.set).start()
    with pytest.raises(ToolError, match=rf"^sh ended with exit code -{number}"):
        stream(["sh", "-c", script], print, ending=ending)


def test_a_program_that_ends_by_itself_is_left_alone() -> None:
    lines: list[str] = []
    stream(["echo", "done"], lines.append, ending=threading.Event())
    assert lines == ["done"]
