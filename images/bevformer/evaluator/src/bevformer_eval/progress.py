"""Shows how many samples are done, how fast, and how long the rest will take."""

from __future__ import annotations

import sys
import time

from bevformer_eval.output import say

_EVERY = 10.0  # seconds between two lines where stderr is not a terminal


class Progress:
    """One line that is rewritten on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, total: int, done: int = 0, *, silent: bool = False) -> None:
        self._total, self._done = total, done
        self._already = done
        self._start = time.monotonic()
        self._shown = -_EVERY
        self._live = sys.stderr.isatty()
        self._silent = silent

    def __enter__(self) -> Progress:  # noqa: PYI034 - Self is not in Python 3.8
        if self._already and not self._silent:
            say(f"{self._already} of {self._total} samples are already evaluated; going on")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live and not self._silent and self._done > self._already:
            sys.stderr.write("\n")

    def advance(self, count: int = 1) -> None:
        """Say that `count` more samples are done."""
        self._done += count
        if self._silent:
            return
        now = time.monotonic()
        last = self._done >= self._total
        if not last and now - self._shown < (0.2 if self._live else _EVERY):
            return
        self._shown = now
        text = self._text(now - self._start)
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        else:
            say(text)

    def _text(self, elapsed: float) -> str:
        rate = (self._done - self._already) / max(elapsed, 1e-9)
        left = int((self._total - self._done) / max(rate, 1e-9))
        clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        return f"{self._done}/{self._total} samples, {rate:.3g} samples/s, {clock} left"
