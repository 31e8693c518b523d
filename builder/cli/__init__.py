"""The command line: one verb a module, errors shown in one place, exit codes documented."""

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn, Protocol

from builder.errors import CellarError, UsageError

INTERRUPTED = 130

# The verbs in the order in which data flows; a verb's module is imported only when it is used,
# so that `cellar --help` answers at once.
VERBS = {
    "matrix": "list the cells, or print them as JSON for a CI job",
    "image": "lock, fetch, render, build and verify: the whole way to an image",
    "lock": "make a cell's lock anew, inside the cell's own base (network)",
    "fetch": "bring every locked input into the store (network)",
    "store": "verify, measure or clean the store",
    "render": "write the Dockerfile and build context of a cell",
    "build": "build a cell's image without network",
    "bake": "write the matrix as a docker-bake file, for any builder of buildx",
    "audit": "say which CPUs and GPUs the binaries of an image need",
    "prove": "run an image's workloads on an emulated CPU of a level",
    "passport": "say what an image needs of its host, and what was proven of it",
    "verify": "run the image's tests and record the evidence",
    "reproduce": "rebuild an image and say what differs",
    "doctor": "hold this host against the cells or an image, and name each remedy",
    "host": "say what this host has and lacks, and install it",
}


class Verb(Protocol):
    """What a module of this package offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's options to `parser`."""
        ...

    def execute(self, args: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = f"{self.prog}: {message}"
        raise UsageError(text, hint=f"`{self.prog} --help` lists the options")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; only this function prints errors."""
    for ending in (signal.SIGTERM, signal.SIGHUP):  # else what we started would run on
        signal.signal(ending, signal.default_int_handler)
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        return _dispatch([word for word in words if word != "--debug"])
    except CellarError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        if error.hint:
            print(f" hint: {error.hint}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _dispatch(words: list[str]) -> int:
    root = _root_parser()
    if not words or words[0] in ("-h", "--help", "--version"):
        root.parse_args(words or ["--help"])
    name = words[0]
    if name not in VERBS:
        message = f"{name!r} is no verb of cellar"
        raise UsageError(message, hint="one of: " + ", ".join(VERBS))
    verb: Verb = import_module(f"builder.cli.{name}")
    parser = _Parser(prog=f"cellar {name}", description=VERBS[name])
    verb.configure(parser)
    return verb.execute(parser.parse_args(words[1:]))


def _root_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<10} {text}" for name, text in VERBS.items()]
    parser = _Parser(
        prog="cellar",
        usage="cellar [--debug] VERB [options]",
        description="Build, audit and prove hermetic images of research stacks.",
        epilog="verbs:\n" + "\n".join(lines) + "\n\n`cellar VERB --help` lists a verb's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cellar {version('cellar')}")
    return parser
