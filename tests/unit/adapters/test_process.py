"""A program that is to end although nobody interrupts the thread that waits for it."""

import threading

import pytest

from builder.adapters.process import ToolError, stream


def test_a_silent_program_is_ended_from_another_thread() -> None:
    ending = threading.Event()
    threading.Timer(0.1, ending.set).start()
    with pytest.raises(ToolError, match=r"^sleep ended with exit code -2"):
        stream(["sleep", "60"], print, ending=ending)


def test_a_program_that_ends_by_itself_is_left_alone() -> None:
    lines: list[str] = []
    stream(["echo", "done"], lines.append, ending=threading.Event())
    assert lines == ["done"]
