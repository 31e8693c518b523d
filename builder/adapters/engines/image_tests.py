"""Runs the tests of tests/image in a process of their own, and reads what each found."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.adapters import process
from builder.domain.evidence import Check, Level, Outcome, Recorded
from builder.domain.progress import Progress, Task
from builder.errors import DataError, VerificationError

_STARTED, _ENDED = "tests/image/", "[gw"

# The model's tests keep all processors busy only in part: the others fill what they leave.
_SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")


def run_tests(root: Path, options: Sequence[str], progress: Progress) -> tuple[Check, ...]:
    """Run the tests with `options` (--cell, --engine, ...) and return one Check for each.

    A failing test is a Check; tests that could not run at all are a VerificationError.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        results.touch()
        argv = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]
        argv += [*_SIDE_BY_SIDE, "--results", str(results), *options, str(root / "tests" / "image")]
        task = progress.task("verifying")
        try:
            process.stream(argv, lambda line: _tell(line, task), cwd=root)
        except process.ToolError as error:
            if not results.read_text():
                message = f"the image's tests could not run:\n{error.tail}"
                raise VerificationError(message, hint=error.hint) from error
        finally:
            task.finish()
        checks = (_check(json.loads(line)) for line in results.read_text().splitlines())
        return tuple(sorted(checks, key=lambda check: (check.level, check.name)))


def read_results(path: Path) -> Recorded:
    """Read what the tests of a bundle have found; a file that is none is a DataError."""
    try:
        head, *rows = (json.loads(line) for line in path.read_text().splitlines())
        return Recorded(
            digest=head["digest"],
            engine=head["engine"],
            device=head["device"],
            checks=tuple(map(_check, rows)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path}: no results of a bundle's tests: {error}"
        hint = f"`pytest tests/image --bundle FOLDER --results {path}` writes them"
        raise DataError(message, hint=hint) from error


def _tell(line: str, task: Task) -> None:
    if line.startswith(_STARTED):
        name = line.split("::", 1)[-1].split(" ", 1)[0]
        task.describe(f"verifying: {name}")
    elif line.startswith(_ENDED):
        task.advance(1)


def _check(row: Mapping[str, Any]) -> Check:
    return Check(
        name=row["name"].removeprefix("test_").replace("_", " "),
        level=Level[row["level"]],
        outcome=Outcome(row["outcome"]),
        seconds=row["seconds"],
        detail=row["detail"],
        required=row["required"],
    )
