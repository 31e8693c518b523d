"""`cellar host`: what an engine needs on this host, said first and then installed."""

import argparse

from builder.adapters.host import host_install
from builder.cli import wiring
from builder.domain.host_plan import EngineName


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar host`."""
    names = [name.value for name in EngineName]
    parser.add_argument("--engine", choices=names, default="docker", help="the engine to prepare")
    parser.add_argument("--install", action="store_true", help="install and start what is missing")


def execute(args: argparse.Namespace) -> int:
    """Show the plan, carry it out with --install; 0 when the engine is ready."""
    progress = wiring.progress()
    engine = EngineName(args.engine)
    steps = host_install.needed(engine)
    if steps.empty:
        progress.say(f"{engine} is ready")
        return 0
    if args.install:
        host_install.carry_out(steps, progress.say)
        return 0
    progress.say(f"{engine} is not ready on this host; `cellar host --install` would:")
    for sentence in steps.sentences():
        progress.say(f"  - {sentence}")
    return 1
