"""Reviewed waivers from YAML: closed rows, each with its reason and evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import cattrs

from builder.adapters.data import closed_files
from builder.domain.audit.report import Waiver


def load(path: Path) -> tuple[Waiver, ...]:
    """Read a waivers file; a DataError names all its faults."""
    rows = cast("Mapping[str, list[object]]", closed_files.read(path, "waivers"))["waivers"]
    return tuple(cattrs.structure(row, Waiver) for row in rows)
