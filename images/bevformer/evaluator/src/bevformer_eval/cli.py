"""The command line: parsers, the display of errors, exit codes."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import List, Optional, Sequence

from bevformer_eval import __version__
from bevformer_eval.errors import EvalError, ExitCode
from bevformer_eval.output import say

COMMANDS = ("run", "compare-golden", "compare-models", "check-ops", "synthesize")
_DEFAULT = "run"
_EPILOG = """\
without a command, the options are those of `run` (see `bevformer-eval run --help`)

exit codes: 0 ok, 1 a comparison or gate failed, 2 usage, 3 host or GPU, 4 data, 5 weights or hash,
6 disk or permission, 130 interrupted (the next run resumes)"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code; an error becomes one line on stderr and a hint."""
    words = _with_default(list(sys.argv[1:] if argv is None else argv))
    args = _parser().parse_args(words)
    args.argv = words
    try:
        return int(args.execute(args))
    except EvalError as error:
        say(f"error: {error.message}")
        if error.hint:
            say(f" hint: {error.hint}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted; the same command resumes after the last finished scene")
        return int(ExitCode.INTERRUPTED)
    # torch without its libraries, or an image that lacks a distribution
    except ImportError as error:
        say(f"error: this installation is incomplete: {error}")
        say(" hint: install bevformer-eval with its dependencies, and a torch that fits this host")
        return int(ExitCode.HOST)
    except BrokenPipeError:  # the reader of stdout went away, as `| head` does
        sys.stderr.close()
        return int(ExitCode.FAILED)


def _with_default(argv: List[str]) -> List[str]:
    """Insert the default command where the first word is an option of it."""
    if argv and (
        argv[0] in COMMANDS or argv[0] in {"-h", "--help", "-V"} or not argv[0].startswith("-")
    ):
        return argv
    return [_DEFAULT, *argv]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bevformer-eval",
        description="Evaluate BEVFormer-tiny on nuScenes or on synthetic scenes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", action="version", version=f"bevformer-eval {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"bevformer_eval.commands.{name.replace('-', '_')}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.configure(verb)
        verb.set_defaults(execute=module.execute)
    return parser


if __name__ == "__main__":
    sys.exit(main())
