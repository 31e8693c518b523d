"""Data files under a published schema: read whole, or refused with all that is wrong."""

from pathlib import Path

from builder.adapters.data import schemas, yaml_files
from builder.adapters.data.yaml_files import JSONValue
from builder.domain.fault import field_name
from builder.errors import DataError


def read(path: Path, schema: str) -> JSONValue:
    """Read a YAML file; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    faults = schemas.faults(document, schema)
    if faults:
        rows = ((fault.line or document.line(fault.where), fault) for fault in faults)
        lines = [
            f"{path}:{line}: {field_name(fault.where) or 'the file'} {fault.message}"
            for line, fault in sorted(rows, key=lambda row: row[0])
        ]
        raise DataError("\n".join(lines), hint="correct the lines above and run it again")
    return document.value
