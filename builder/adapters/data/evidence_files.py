"""Records of builds and verifications: small JSON files, each replaced in one step."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from builder.adapters.storage.folder import storage_errors


def write(record: Mapping[str, object], path: Path) -> None:
    """Write a record to `path`; until it is whole, what stood there stays."""
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def dated(record: Mapping[str, object]) -> Mapping[str, object]:
    """Return a record with today's date (UTC)."""
    return {**record, "date": time.strftime("%Y-%m-%d", time.gmtime())}


def read(path: Path) -> Mapping[str, object] | None:
    """Return what `path` holds, or None where there is nothing readable."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
