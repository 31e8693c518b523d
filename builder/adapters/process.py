"""The one door through which Cellar starts other programs."""

import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.errors import CellarError, HostError

_TAIL_LINES = 20
_WATCH_S = 0.2
# Seconds that a program has to end in after each signal: after the first one pytest takes its
# containers away, and after the second a program may do the same to its own.
_PATIENCE_S = {signal.SIGINT: 10.0, signal.SIGTERM: 20.0}


class ToolError(CellarError):
    """A program that ended with a failure, with the last lines that it printed."""

    def __init__(self, argv: Sequence[str], code: int, tail: str) -> None:
        super().__init__(f"{argv[0]} ended with exit code {code}:\n{tail}".rstrip(": \n"))
        self.argv = tuple(argv)
        self.code = code
        self.tail = tail
        self.hint = f"run it again by hand: {shlex.join(argv)}"


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run `argv` (no shell) with exactly `env` (None: ours) and return its stdout as text."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise _missing(argv) from error
    if done.returncode:
        raise ToolError(argv, done.returncode, _tail((done.stderr or done.stdout).splitlines()))
    return done.stdout


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ending: threading.Event | None = None,
) -> None:
    """Run `argv` and hand each line of its stdout and stderr to `on_line` as it comes.

    When we are interrupted the program is ended too, so that nothing runs on behind us; so it is
    when another thread sets `ending`, because only the main one is ever interrupted.
    """
    last: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise _missing(argv) from error
    with child, _ended_by(ending, child):
        try:
            assert child.stdout is not None  # noqa: S101 - PIPE was asked for above
            for line in child.stdout:
                last.append(line.rstrip("\n"))
                on_line(line.rstrip("\n"))
        except BaseException:
            _end(child)
            raise
    if child.returncode:
        raise ToolError(argv, child.returncode, _tail(last))


def start_daemon(argv: Sequence[str], *, log: Path) -> int:
    """Start `argv` in a session of its own, so that it outlives us, and return its process id."""
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise _missing(argv) from error
    return child.pid


@contextmanager
def _ended_by(ending: threading.Event | None, child: subprocess.Popen[str]) -> Iterator[None]:
    over = threading.Event()

    def watch(ending: threading.Event) -> None:
        while not over.wait(_WATCH_S):
            if ending.is_set():
                _end(child)
                return

    if ending is not None:
        threading.Thread(target=watch, args=(ending,), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _end(child: subprocess.Popen[str]) -> None:
    # What a shell started in the background ignores SIGINT, and so does all that it starts. Killed
    # at once it would leave its own children behind.
    for number, patience in _PATIENCE_S.items():
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience)
            return
    child.kill()


def _missing(argv: Sequence[str]) -> HostError:
    return HostError(f"{argv[0]} is not installed", hint="`make doctor` lists what is missing")


def _tail(lines: Sequence[str] | deque[str]) -> str:
    return "\n".join(list(lines)[-_TAIL_LINES:])
