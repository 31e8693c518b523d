"""Hand-written data files (YAML): read, checked, and turned into domain values."""

from pathlib import Path
from typing import cast

import yaml

from builder.domain import decode
from builder.domain.definition import ImageDefinition
from builder.domain.matrix import Matrix


def load_matrix(path: Path) -> Matrix:
    """Read a matrix.yaml; all its faults come in one DataError, each by file, line and field."""
    return decode.matrix(cast("decode.MatrixDocument", _document(path)))


def load_image(path: Path) -> ImageDefinition:
    """Read an image.yaml; all its faults come in one DataError, each by file, line and field."""
    return decode.image(cast("decode.ImageDocument", _document(path)))


def _document(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
