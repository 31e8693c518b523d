"""Hand-written data files: read, checked, and turned into domain values."""

from pathlib import Path
from typing import cast

from builder.adapters import schemas, yaml_files
from builder.adapters.yaml_files import Document
from builder.domain import decode
from builder.domain.definition import ImageDefinition
from builder.domain.documents import ImageDocument, MatrixDocument
from builder.domain.fault import Fault, field_name
from builder.domain.matrix import Matrix
from builder.errors import DataError


def load_matrix(path: Path) -> Matrix:
    """Read a matrix.yaml; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    _refuse(document, schemas.faults(document, "matrix"))
    return decode.matrix(cast("MatrixDocument", document.value))


def load_image(path: Path) -> ImageDefinition:
    """Read an image.yaml; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    _refuse(document, schemas.faults(document, "image"))
    return decode.image(cast("ImageDocument", document.value))


def _refuse(document: Document, faults: list[Fault]) -> None:
    if not faults:
        return
    lines = sorted((fault.line or document.line(fault.where), fault) for fault in faults)
    texts = [
        f"{document.path}:{line}: {field_name(fault.where) or 'the file'} {fault.message}"
        for line, fault in lines
    ]
    raise DataError("\n".join(texts), hint=f"correct {document.path}")
