"""Reviewed waivers from YAML: closed rows, each with its reason and evidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import cattrs

from builder.adapters.data import schemas, yaml_files
from builder.domain.audit.report import Waiver
from builder.domain.fault import field_name
from builder.errors import DataError


def load(path: Path) -> tuple[Waiver, ...]:
    """Read a waivers file; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    faults = schemas.faults(document, "waivers")
    if faults:
        rows = ((fault.line or document.line(fault.where), fault) for fault in faults)
        lines = [
            f"{path}:{line}: {field_name(fault.where) or 'the file'} {fault.message}"
            for line, fault in sorted(rows, key=lambda row: row[0])
        ]
        raise DataError("\n".join(lines), hint="correct the lines above and run it again")
    waivers = cast("Mapping[str, list[object]]", document.value)["waivers"]
    return tuple(cattrs.structure(row, Waiver) for row in waivers)
