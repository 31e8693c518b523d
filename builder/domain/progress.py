"""How a command tells what it is doing, without knowing who listens."""

from typing import Protocol


class Task(Protocol):
    """One piece of work of known or unknown size that is under way."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more units (bytes or steps) are done."""
        ...

    def describe(self, text: str) -> None:
        """Replace the text that is shown beside the bar."""
        ...

    def finish(self) -> None:
        """Say that the work is over, done or not."""
        ...


class Progress(Protocol):
    """Where progress goes: live bars on a terminal, plain lines elsewhere."""

    def task(self, text: str, *, total: int | None = None, unit: str = "step") -> Task:
        """Begin a piece of work of `total` units; `unit` is "byte" or "step"."""
        ...

    def say(self, text: str) -> None:
        """Print one line for people (to stderr)."""
        ...
