"""The source of one op wheel in a build: the archive as it came, or its tree with edits applied."""

from collections.abc import Sequence
from pathlib import Path

from builder.adapters.archives.source_trees import sole_folder
from builder.adapters.archives.unpack import unpack_tar
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.edits import Edit, apply
from builder.domain.store import Store
from builder.errors import DataError

_PLAIN, _EXECUTABLE = 0o644, 0o755


def write_source(source: Artifact, edits: Sequence[Edit], store: Store, into: Path) -> None:
    """Lay out `source` alone in the new folder `into`.

    Edits that do not match exactly are named in one DataError.
    """
    if source.kind is ArtifactKind.SDIST and not edits:
        store.link_into(source, into)
        return
    tree = _unpack(source, store, into)
    files = {edit.file for edit in edits}
    texts = {name: _text(tree / name) for name in sorted(files) if (tree / name).is_file()}
    for name, text in apply(edits, texts).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(text.encode())
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(_EXECUTABLE if path.stat().st_mode & 0o100 else _PLAIN)


def _unpack(source: Artifact, store: Store, into: Path) -> Path:
    """Unpack a canonical tar as it is, and of an sdist what lies in its one folder."""
    into.mkdir(parents=True)
    tree = into / source.name
    with store.path(source).open("rb") as file:
        unpack_tar(file, tree)
    if source.kind is ArtifactKind.SDIST:
        inner = sole_folder(tree)
        if inner is None:
            message = f"{source.filename}: not one folder, as an sdist has it"
            raise DataError(message, hint="check the file in the package index")
        outer = tree.rename(into / f"{source.name}.sdist")
        (outer / inner.name).rename(tree)
        outer.rmdir()
    return tree


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # newlines stay what they are
    except UnicodeDecodeError as error:
        message = f"{path.name}: an edit names it, and it is no text: {error}"
        raise DataError(message, hint="correct edits.yaml") from error
