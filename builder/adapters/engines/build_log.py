"""What an engine says while it builds, as live progress; and a failed step's last words."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from builder.domain.progress import Progress, Task

_LAYERS = "image: layers"
_KEPT_LINES = 15
_SHOWN_COLUMNS = 60
_BEAT_S = 2.0


# What ninja, which torch's extensions are compiled with, prints when it begins a file.
_NINJA = re.compile(r"\[(?P<done>[1-9]\d*)/(?P<total>\d+)\] ")
# What templates/steps/build-wheels prints where it reduces the jobs.
_FEWER_JOBS = re.compile(r"memory for \d+ of \d+ compilers at once")
# What gcc, nvcc, the linker and the kernel say of the cause; pip's words about it come later and
# are many.
_CAUSE = re.compile(r"\berror\s*: |\bKilled\b|No space left on device", re.ASCII)
_REMEDIES = {
    re.compile(r"No space left on device"): (
        "the engine's disk is full: free some space there (`docker system df` says where it went),"
        " then run the same command again"
    ),
    re.compile(
        r"\bKilled\b|signal 9|[Cc]annot allocate memory|memory exhausted|bad_alloc|code:? 137\b"
    ): "memory ran out: build it with fewer compilers at once, `cellar build --jobs 1`",
}


@dataclass(slots=True)
class _Step:
    name: str
    task: Task | None = None
    started: float = 0.0
    last: str = ""
    counted: str = ""
    cause: str = ""  # the first line that tells of an error
    remedy: str = ""
    output: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))


class BuildSteps:
    """The steps of one build; those that take time are shown with their elapsed time."""

    def __init__(self, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._clock = progress, clock
        self._steps: dict[str, _Step] = {}
        self._guard = threading.RLock()
        self.failure = ""  # the failing step with its last lines
        self.remedy = ""  # what to do about it, where that is known

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Tell now and then how long each step has run, even where it says nothing."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_BEAT_S):
                self._tell()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for key in list(self._steps):
                self.done(key)

    def knows(self, key: str) -> bool:
        """Say whether a step of this key was announced."""
        return key in self._steps

    def announce(self, key: str, name: str) -> None:
        """Say that there is a step; it is shown once it does something."""
        with self._guard:
            self._steps.setdefault(key, _Step(name=name))

    def begin(self, key: str) -> None:
        """Say that a step is under way."""
        with self._guard:
            step = self._steps[key]
            if step.task is None:
                step.started = self._clock()
                step.task = self._progress.task(step.name)

    def hear(self, key: str, text: str) -> None:
        """Take one line that a step printed."""
        with self._guard:
            step = self._steps[key]
            step.output.append(text)
            if any(map(str.isalnum, text)):  # not the carets under a compiler's warning
                step.last = text.strip()
            if count := _NINJA.match(text.strip()):
                step.counted = self._count(step, int(count["done"]), int(count["total"]))
            if _FEWER_JOBS.match(text):
                self._progress.say(f"{step.name}: {text}")
            if not step.cause and _CAUSE.search(text):
                step.cause = text
            step.remedy = step.remedy or _remedy(text)
            self._tell()

    def done(self, key: str) -> None:
        """Say that a step is over."""
        with self._guard:
            step = self._steps[key]
            if step.task is not None:
                step.task.finish()
                step.task = None

    def fail(self, key: str, reason: str) -> None:
        """Say that a step failed, and keep its last lines."""
        step = self._steps[key]
        early = [step.cause] if step.cause and step.cause not in step.output else []
        words = [f"  | {line}" for line in (*early, *step.output)]
        self.remedy = step.remedy or _remedy(reason)
        self.failure = "\n".join([f"{step.name}: {reason}", *words])
        self.done(key)

    def _count(self, step: _Step, done: int, total: int) -> str:
        left = (self._clock() - step.started) / done * (total - done)
        minutes, seconds = divmod(int(left), 60)
        return f"{done}/{total} compiled, {minutes}:{seconds:02d} left"

    def _tell(self) -> None:
        with self._guard:
            for step in self._steps.values():
                if step.task is not None:
                    elapsed = int(self._clock() - step.started)
                    last = step.counted or step.last[:_SHOWN_COLUMNS]
                    step.task.describe(f"{step.name} [{elapsed} s] {last}".rstrip())


def _remedy(text: str) -> str:
    return next((words for mark, words in _REMEDIES.items() if mark.search(text)), "")


# BuildKit: `#7 [torch 1/2] RUN ...`, then `#7 12.34 text`, `#7 DONE 3.1s` or `#7 ERROR: ...`.
_BUILDKIT = re.compile(r"#(?P<step>\d+) (?P<text>.*)")
_BUILDKIT_NAME = re.compile(r"\[(?P<stage>[a-z0-9-]+) +(?P<number>\d+/\d+)\] (?P<command>.+)")
_BUILDKIT_OUTPUT = re.compile(r"\d+\.\d+ (?P<text>.*)")
_BUILDKIT_EXPORT = "exporting to "


def take_buildkit(steps: BuildSteps, line: str) -> None:
    """Take one line of `docker buildx build --progress plain`."""
    match = _BUILDKIT.fullmatch(line)
    if match is None:
        return
    key, text = match["step"], match["text"]
    if not steps.knows(key):
        if name := _buildkit_name(text):
            steps.announce(key, name)
    elif text.startswith("DONE"):
        steps.done(key)
    elif text.startswith("ERROR: "):
        steps.fail(key, text.removeprefix("ERROR: "))
    elif text != "CACHED":
        steps.begin(key)
        if output := _BUILDKIT_OUTPUT.fullmatch(text):
            steps.hear(key, output["text"])


def _buildkit_name(text: str) -> str:
    if match := _BUILDKIT_NAME.match(text):
        return _name(match["stage"], match["number"], match["command"])
    if text.startswith(_BUILDKIT_EXPORT):
        return _LAYERS if "image" in text else "files"
    return ""


# buildah: `[2/6] STEP 1/6: FROM scratch AS base`, then what the step prints, with no mark.
_BUILDAH = re.compile(r"\[\d+/\d+\] STEP (?P<number>\d+/\d+): (?P<command>.+)")
_BUILDAH_COMMIT = re.compile(r"\[\d+/\d+\] COMMIT ")
_BUILDAH_STAGE = re.compile(r"FROM \S+ AS (?P<stage>\S+)")


class BuildahLines:
    """Takes the lines of `buildah build`, which runs one step after another."""

    def __init__(self, steps: BuildSteps) -> None:
        self._steps, self._stage, self.current = steps, "", ""

    def take(self, line: str) -> None:
        """Take one line."""
        match = _BUILDAH.fullmatch(line)
        if _BUILDAH_COMMIT.match(line):
            self._next("image", _LAYERS)
            return
        if match is None:
            if self.current:
                self._steps.hear(self.current, line)
            return
        if stage := _BUILDAH_STAGE.match(match["command"]):
            self._stage = stage["stage"]
        name = _name(self._stage, match["number"], match["command"])
        self._next(f"{self._stage} {match['number']}", name)

    def _next(self, key: str, name: str) -> None:
        if self.current:
            self._steps.done(self.current)
        self.current = key
        self._steps.announce(key, name)
        self._steps.begin(key)


def _name(stage: str, number: str, command: str) -> str:
    """Name a step by its stage and the script that it runs, or by its instruction."""
    words = [word for word in command.split() if not word.startswith("--")]
    if words[0] == "RUN" and len(words) > 1:
        return f"{stage} {number}: {words[1].rsplit('/', 1)[-1]}"
    return f"{stage} {number}: {' '.join(words)[:40]}"
