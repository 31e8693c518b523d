"""Audits as JSON documents: the published form, and the same form read back from the cache."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cattrs

from builder.domain.audit.baseline import Baseline
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import judge_gpus
from builder.errors import DataError

FORMAT = 1

_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_unstructure_hook(ComputeCapability, str)
_converter.register_structure_hook(
    ComputeCapability, lambda text, _: ComputeCapability.parse(str(text))
)


def file_document(audit: FileAudit) -> dict[str, object]:
    """Return one file's audit at every level."""
    return cast("dict[str, object]", _converter.unstructure(audit))


def read_file_document(document: dict[str, object]) -> FileAudit:
    """Read back what `file_document` wrote; anything else is a ValueError."""
    try:
        return _converter.structure(document, FileAudit)
    except (cattrs.errors.BaseValidationError, KeyError, TypeError, ValueError) as error:
        message = "not the audit of a file"
        raise ValueError(message) from error


def image_document(audit: ImageAudit, gpus: Sequence[ComputeCapability]) -> dict[str, object]:
    """Return the whole audit, as schemas/audit.schema.json describes it."""
    return {
        "format": FORMAT,
        "target": audit.target,
        "digest": audit.digest,
        "level": audit.level.value,
        "verdict": audit.verdict.value,
        "lowest_level": audit.lowest.value if audit.lowest else None,
        "gpus": [str(gpu) for gpu in gpus],
        "environment": list(audit.forced),
        "waived": _converter.unstructure(audit.waived),
        "unused_waivers": _converter.unstructure(audit.unused_waivers),
        "files": [_published(file, audit, gpus) for file in audit.files],
    }


def _published(
    file: FileAudit, audit: ImageAudit, gpus: Sequence[ComputeCapability]
) -> dict[str, object]:
    return {
        **file_document(file),
        "verdict": None if file.skipped else file.verdict(audit.level).value,
        "lowest_level": file.lowest.value if file.lowest else None,
        "own_architectures": list(file.device_code.own),
        "gpu": _converter.unstructure(judge_gpus(file.device_code, gpus))
        if file.device_code.containers
        else None,
    }


def baseline_text(baseline: Baseline) -> str:
    """Return a baseline as the JSON that `read_baseline` reads, sorted for small differences."""
    document = {"format": FORMAT, **_converter.unstructure(baseline)}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline; one that is absent or of another form is a DataError."""
    try:
        document = json.loads(path.read_text("utf-8"))
        del document["format"]
        return _converter.structure(document, Baseline)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise DataError(message, hint="write it with `cellar audit --write-baseline`") from error
    except (cattrs.errors.BaseValidationError, ValueError, KeyError, TypeError) as error:
        message = f"{path} is no baseline of an audit"
        raise DataError(message, hint="write it with `cellar audit --write-baseline`") from error
