"""Hand-written data files: read, checked, and turned into domain values."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from builder.adapters.data import schemas, yaml_files
from builder.adapters.data.yaml_files import Document
from builder.domain import decode
from builder.domain.cell_faults import cell_faults
from builder.domain.definition import ImageDefinition
from builder.domain.documents import EditsDocument, ImageDocument
from builder.domain.edits import Edit, edit_faults
from builder.domain.fault import Fault, field_name
from builder.domain.matrix import Matrix
from builder.domain.sound_part import sound_part
from builder.domain.table_faults import table_faults
from builder.errors import DataError


def load_matrix(path: Path) -> Matrix:
    """Read a matrix.yaml; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    found = schemas.faults(document, "matrix")
    sound = sound_part(document.value, found)
    matrix = decode.matrix(sound.document)
    cells = dict(zip(sound.rows, matrix.cells, strict=True))
    _refuse(
        document,
        [
            *found,
            *_other_name(document, "image"),
            *_evidence(document),
            *table_faults(matrix.tables, sound.unsound),
            *cell_faults(matrix, cells, sound.unsound),
        ],
    )
    return matrix


def load_image(path: Path) -> ImageDefinition:
    """Read an image.yaml; all its faults come in one DataError, each by file, line and field."""
    document = yaml_files.read(path)
    found = schemas.faults(document, "image")
    _refuse(document, [*found, *_other_name(document, "name"), *_layers(document)])
    return decode.image(cast("ImageDocument", document.value))


def load_edits(path: Path, image: ImageDefinition, matrix: Matrix) -> tuple[Edit, ...]:
    """Read an edits.yaml; all its faults come in one DataError, each by file, line and field.

    An image without the file has no edits.
    """
    if not path.exists():
        return ()
    document = yaml_files.read(path)
    _refuse(document, schemas.faults(document, "edits"))
    edits = decode.edits(cast("EditsDocument", document.value))
    packages = {name for cell in matrix.cells for name in cell.packages}
    packages |= {row.distribution for row in matrix.tables.isa_floors if row.rebuild}
    cells = [cell.id for cell in matrix.cells]
    _refuse(document, edit_faults(edits, {*image.sources, *packages}, cells))
    return edits


def format_file(path: Path) -> bool:
    """Rewrite a data file in its one canonical form, and say whether that changed a byte.

    The comment lines that a file begins with stay; a file with faults of YAML is a DataError.
    """
    document = yaml_files.read(path)
    _refuse(document, document.faults)
    before = path.read_text(encoding="utf-8")
    after = yaml_files.header(before) + yaml_files.canonical(document.value)
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def _other_name(document: Document, field: str) -> Iterator[Fault]:
    folder = document.path.absolute().parent.name
    if isinstance(document.value, Mapping) and document.value.get(field, folder) != folder:
        yield Fault((field,), f"is {document.value[field]!r}, and the folder is {folder!r}")


def _evidence(document: Document) -> Iterator[Fault]:
    """Yield a fault for each cell that is called proven by a file that is not there."""
    rows = document.value.get("cells") if isinstance(document.value, Mapping) else None
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        proven = row.get("proven") if isinstance(row, Mapping) else None
        file = proven.get("evidence") if isinstance(proven, Mapping) else None
        if isinstance(file, str) and not (document.path.parent / file).is_file():
            where = ("cells", index, "proven", "evidence")
            yield Fault(where, f"names {file}, which does not exist")


def _layers(document: Document) -> Iterator[Fault]:
    rows = document.value.get("layers") if isinstance(document.value, Mapping) else None
    seen = set()
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        if not isinstance(row, Mapping):
            continue
        file, name = row.get("requirements"), row.get("name")
        if isinstance(file, str) and not (document.path.parent / file).is_file():
            yield Fault(("layers", index, "requirements"), f"names {file}, which does not exist")
        if name in seen:
            yield Fault(("layers", index, "name"), f"is {name} a second time")
        seen.add(name)


def _refuse(document: Document, faults: Iterable[Fault]) -> None:
    lines = {
        (fault.line or document.line(fault.where), field_name(fault.where), fault.message)
        for fault in faults
    }
    if lines:
        texts = [
            f"{_shown(document.path)}:{line}: {field or 'the file'} {message}"
            for line, field, message in sorted(lines)
        ]
        raise DataError("\n".join(texts), hint="correct the lines above and run it again")


def _shown(path: Path) -> Path:
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path
