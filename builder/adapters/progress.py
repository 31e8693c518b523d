"""Progress for people: live bars on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text

# Nobody should wait longer than this for a sign of life (facts: first line < 2 s, never > 10 s).
PLAIN_INTERVAL_S = 8.0


class TerminalProgress:
    """Bars with rate and remaining time; used as a context manager so that they end cleanly."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Amount(),
            _Rate(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )

    def task(self, text: str, *, total: int | None = None, unit: str = "step") -> "_Bar":
        """Begin a piece of work of `total` units; `unit` is "byte" or "step"."""
        self._bars.start()
        return _Bar(self._bars, text, total, unit)

    def say(self, text: str) -> None:
        """Print one line for people, above the bars."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Take the bars off the screen."""
        self._bars.stop()


class _Bar:
    def __init__(self, bars: RichProgress, text: str, total: int | None, unit: str) -> None:
        self._bars = bars
        self._id = bars.add_task(text, total=total, unit=unit)

    def advance(self, amount: int) -> None:
        self._bars.advance(self._id, amount)

    def describe(self, text: str) -> None:
        self._bars.update(self._id, description=text)

    def finish(self) -> None:
        self._bars.remove_task(self._id)
        if not self._bars.tasks:
            self._bars.stop()


class _Amount(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        if not task.completed and not task.total:  # work that is only described, never counted
            return Text()
        return Text(amount(int(task.completed), _whole(task.total), str(task.fields["unit"])))


class _Rate(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        return Text(pace(task.speed, task.time_remaining, str(task.fields["unit"])))


class PlainProgress:
    """Lines instead of bars, for logs: when a task begins, every few seconds, and at its end."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def task(self, text: str, *, total: int | None = None, unit: str = "step") -> "_Lines":
        """Begin a piece of work of `total` units; `unit` is "byte" or "step"."""
        self.say(f"{text} ..." if total is None else f"{text} ({amount(0, total, unit)}) ...")
        return _Lines(self, self._clock, text, total, unit)

    def say(self, text: str) -> None:
        """Print one line for people."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Do nothing: lines need no end."""


class _Lines:
    def __init__(
        self,
        parent: PlainProgress,
        clock: Callable[[], float],
        text: str,
        total: int | None,
        unit: str,
    ) -> None:
        self._parent, self._clock, self._text = parent, clock, text
        self._total, self._unit, self._done = total, unit, 0
        self._start = self._last = clock()

    def advance(self, amount: int) -> None:
        self._done += amount
        self._tell_now_and_then()

    def describe(self, text: str) -> None:
        self._text = text
        self._tell_now_and_then()

    def finish(self) -> None:
        seconds = self._clock() - self._start
        self._parent.say(f"{self._so_far(None)} in {seconds:.1f} s")

    def _tell_now_and_then(self) -> None:
        now = self._clock()
        if now - self._last < PLAIN_INTERVAL_S:
            return
        self._last = now
        speed = self._done / (now - self._start)
        left = (self._total - self._done) / speed if self._total and speed else None
        told = f"{self._so_far(self._total)} {pace(speed, left, self._unit)}"
        self._parent.say(told.rstrip())

    def _so_far(self, total: int | None) -> str:
        if not self._done and not self._total:  # work that is only described, never counted
            return self._text
        return f"{self._text}: {amount(self._done, total, self._unit)}"


def amount(done: int, total: int | None, unit: str) -> str:
    """Write `done` of `total`, in bytes with a unit or as a bare count."""
    show = decimal if unit == "byte" else str
    return show(done) if total is None else f"{show(done)}/{show(total)}"


def pace(speed: float | None, remaining_s: float | None, unit: str) -> str:
    """Write the speed (units per second) and the time that remains, where they are known."""
    parts = []
    if speed and unit == "byte":
        parts.append(f"{decimal(int(speed))}/s")
    if remaining_s is not None:
        minutes, seconds = divmod(int(remaining_s), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return " ".join(parts)


def _whole(total: float | None) -> int | None:
    return None if total is None else int(total)


def best_progress() -> TerminalProgress | PlainProgress:
    """Choose bars where stderr is a terminal, and lines in pipes and logs."""
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()
