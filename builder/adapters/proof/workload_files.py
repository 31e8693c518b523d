"""The named workloads of an image from YAML: commands, and Python scripts that lie beside it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import cattrs

from builder.adapters.data import closed_files
from builder.domain.proof import KnownFault, Workload
from builder.errors import DataError


def load(path: Path) -> tuple[Workload, ...]:
    """Read a workloads file; a DataError names all its faults."""
    document = closed_files.read(path, "workloads")
    rows = cast("Mapping[str, Sequence[Mapping[str, str]]]", document)["workloads"]
    names = [row["name"] for row in rows]
    faults = [f"{name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [
        f"{row['name']} needs either a command or a script"
        for row in rows
        if ("command" in row) is ("script" in row)
    ]
    if faults:
        message = "\n".join(f"{path}: {fault}" for fault in faults)
        raise DataError(message, hint="correct the lines above and run it again")
    return tuple(
        Workload(
            name=row["name"],
            argv=_argv(row, path.parent),
            covers=row["covers"],
            known=cattrs.structure(row["known"], KnownFault) if "known" in row else None,
        )
        for row in rows
    )


def _argv(row: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Return the command; a script is handed over as text, and so stands in the proof."""
    if "command" in row:
        try:
            return tuple(shlex.split(row["command"]))
        except ValueError as error:
            message = f"the command of {row['name']} has {str(error).lower()}"
            raise DataError(message, hint="write it as a shell would take it") from error
    script = folder / row["script"]
    try:
        return ("python3", "-c", script.read_text("utf-8"))
    except OSError as error:
        message = f"{script}: {(error.strerror or str(error)).lower()}"
        raise DataError(message, hint=f"the workload {row['name']} names it") from error
