"""What BuildKit says while it builds, as live progress; and a failed step's last words."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from builder.domain.progress import Progress, Task

# The plain format: `#7 [torch 1/2] RUN ...`, `#7 12.34 text`, `#7 DONE 3.1s`, `#7 ERROR: ...`.
_LINE = re.compile(r"#(?P<step>\d+) (?P<text>.*)")
_NAME = re.compile(r"\[(?P<stage>[a-z-]+) +(?P<number>\d+/\d+)\] (?P<command>.+)")
_OUTPUT = re.compile(r"(?P<time>\d+\.\d+) (?P<text>.*)")
_EXPORT = re.compile(r"exporting to .*")
_KEPT_LINES = 15
_BEAT_S = 2.0


@dataclass(slots=True)
class _Step:
    name: str
    task: Task | None = None
    started: float = 0.0
    last: str = ""
    output: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))


class BuildLog:
    """Feeds on the lines of a build; every step that takes time is shown with its elapsed time."""

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._clock = progress, clock
        self._steps: dict[str, _Step] = {}
        self._guard = threading.Lock()
        self.cached = 0
        self.failure: str = ""

    def line(self, line: str) -> None:
        """Take one line of the build's output."""
        match = _LINE.fullmatch(line)
        if match is None:
            return
        with self._guard:
            self._take(match["step"], match["text"])

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Tell the elapsed time of running steps now and then, even where they say nothing."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_BEAT_S):
                with self._guard:
                    for step in self._steps.values():
                        self._describe(step)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with self._guard:
                for step in self._steps.values():
                    _finish(step)

    def _take(self, number: str, text: str) -> None:
        step = self._steps.get(number)
        if step is None:
            if name := _name(text):
                self._steps[number] = _Step(name=name)
        elif text.startswith("DONE"):
            _finish(step)
        elif text == "CACHED":
            self.cached += 1
        elif text.startswith("ERROR: "):
            words = "\n".join(f"  | {line}" for line in step.output)
            self.failure = f"{step.name}: {text.removeprefix('ERROR: ')}\n{words}".rstrip()
            _finish(step)
        else:
            self._hear(step, text)

    def _hear(self, step: _Step, text: str) -> None:
        if step.task is None:
            step.started = self._clock()
            step.task = self._progress.task(step.name)
        output = _OUTPUT.fullmatch(text)
        if output:
            step.output.append(output["text"])
            step.last = output["text"].strip() or step.last
        self._describe(step)

    def _describe(self, step: _Step) -> None:
        if step.task is not None:
            elapsed = int(self._clock() - step.started)
            step.task.describe(f"{step.name} {elapsed} s  {step.last[:60]}".rstrip())


def _finish(step: _Step) -> None:
    if step.task is not None:
        step.task.finish()
        step.task = None


def _name(text: str) -> str:
    if match := _NAME.match(text):
        return f"{match['stage']} {match['number']}: {_short(match['command'])}"
    return "image: compress and unpack layers" if _EXPORT.match(text) else ""


def _short(command: str) -> str:
    """Give the part of a RUN line that says what it does: the script's name and its last word."""
    words = [word for word in command.split() if not word.startswith("--")]
    if words and words[0] == "RUN" and len(words) > 1:
        return words[1].rsplit("/", 1)[-1]
    return " ".join(words)[:40]
