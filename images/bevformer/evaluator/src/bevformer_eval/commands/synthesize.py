"""`bevformer-eval synthesize`: write seeded scenes in the nuScenes schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from bevformer_eval.errors import ExitCode, UsageError
from bevformer_eval.output import emit, storage_errors

HELP = "write seeded scenes in the true nuScenes schema, with images and CAN bus"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("directory", type=Path, help="where to write them; must be new or empty")
    add_scene_options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_scene_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say which synthetic scenes are meant."""
    parser.add_argument(
        "--scene-seed", type=int, default=0, metavar="N", help="seed of the scenes (default 0)"
    )
    parser.add_argument(
        "--scenes", type=int, default=2, metavar="K", help="how many synthetic scenes (default 2)"
    )
    parser.add_argument(
        "--samples", type=int, default=3, metavar="M", help="samples in each of them (default 3)"
    )


def execute(args: argparse.Namespace) -> int:
    """Write the scenes and say where they are and what their version is."""
    from bevformer_eval.data.synthetic import write_scenes

    root: Path = args.directory
    with storage_errors(root):
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(f"{root} is not an empty directory", "name a new one")
        version = write_scenes(root, args.scene_seed, args.scenes, args.samples)
    result = {
        "directory": str(root),
        "version": version,
        "seed": args.scene_seed,
        "scenes": args.scenes,
        "samples": args.scenes * args.samples,
    }
    emit(
        result,
        f"{result['samples']} samples of {args.scenes} scenes ({version}) in {root}",
        as_json=args.json,
    )
    return ExitCode.OK
