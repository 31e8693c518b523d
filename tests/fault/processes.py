"""Children of a test: forked, so that they start in a millisecond, and ended by their own id."""

import json
import os
import signal
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from builder.errors import CellarError
from tests.bad_server import LOG, BadServer, Resource

CRASHED = 99


def fork(work: Callable[[], None]) -> int:
    """Start `work` in a child and return its id; it ends with 0, an error's code, or CRASHED."""
    pid = os.fork()
    if pid:
        return pid
    code = CRASHED
    try:
        work()
        code = 0
    except CellarError as error:
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001 - a child must never run on into its parent's tests
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid: int, *, seconds: float = 60.0) -> int:
    """Return how a child ended (negative: by which signal); one that hangs fails the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    message = f"the child {pid} hung for {seconds} s"
    raise AssertionError(message)


def kill_after(pid: int, seconds: float) -> int:
    """Kill a child after a while, unless it ends before; return how it ended."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return wait(pid)


@contextmanager
def serving(
    resources: Mapping[str, Resource], *, pause_s: float = 0.0
) -> Iterator[Callable[[str], str]]:
    """Serve in a child, `pause_s` after each 16 KiB; give what makes a URL of a path."""
    server = BadServer(resources, pace=(lambda: time.sleep(pause_s)) if pause_s else None)
    pid = fork(server.serve_forever)
    server.leave()  # the child has it
    try:
        yield server.url
    finally:
        os.kill(pid, signal.SIGKILL)
        wait(pid)


def served(url: Callable[[str], str]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the requests and the body bytes of a server in a child, by path."""
    with urllib.request.urlopen(url(LOG)) as answer:  # noqa: S310 - loopback
        requests, amounts = json.load(answer)
    return requests, amounts
