"""How far a cell has come, read from the repository's locks, golden files and evidence."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from builder.domain.cell_state import CellState, Proof

_INPUTS = ("base.json", "apt.json", "pip.json", "sources.json")


def read_state(root: Path, image: str, cell: str, *, local: bool = False) -> CellState:
    """Read what stands in the checkout at `root`; whether it is sound is for other verbs to say.

    `local` counts what was verified on this machine beside the evidence that is published.
    """
    folder = root / "lock" / image / cell
    head = _json(folder / "lock.json")
    if not isinstance(head, Mapping):
        return CellState(rendered=_rendered(root, cell))
    unlocked = head.get("unlocked")
    places = [root / "images" / image / "evidence"]
    if local:
        places.append(root / ".cellar" / "evidence" / image)
    expected = _expected(_json(folder / "image.json"))
    digest, gpu = _built(expected)
    records = [row for place in places for row in _about(place, cell, expected)]
    return CellState(
        locked=True,
        quoted=sum(_quoted(_json(folder / name)) for name in _INPUTS),
        unlocked=len(unlocked) if isinstance(unlocked, list) else 0,
        rendered=_rendered(root, cell),
        digest=digest,
        gpu=gpu,
        proofs=tuple(sorted({proof for row in records for proof in _proofs(row)})),
        isa=min((isa for row in records if (isa := _isa(row))), default=""),
    )


def _rendered(root: Path, cell: str) -> bool:
    return (root / "tests" / "golden" / f"{cell}.Dockerfile").is_file()


def _quoted(value: object) -> int:
    """Count the inputs, at any depth, whose hash no fetch has confirmed."""
    if isinstance(value, Mapping):
        own = 1 if value.get("quoted") is True else 0
        return own + sum(_quoted(child) for child in value.values())
    return sum(_quoted(child) for child in value) if isinstance(value, list) else 0


def _expected(document: object) -> list[Mapping[str, object]]:
    rows = document.get("expected") if isinstance(document, Mapping) else None
    return [row for row in (rows if isinstance(rows, list) else ()) if isinstance(row, Mapping)]


def _built(expected: list[Mapping[str, object]]) -> tuple[str | None, str]:
    """Return digest and GPUs of the runtime image, for all GPUs of the cell where there is one."""
    rows = [
        (str(row.get("gpu") or ""), str(row.get("digest")))
        for row in expected
        if row.get("target") == "runtime"
    ]
    gpu, digest = min(rows, default=("", None))
    return digest, gpu


def _about(
    folder: Path, cell: str, expected: list[Mapping[str, object]]
) -> Iterator[Mapping[str, object]]:
    """Yield the records about the images that the lock expects; of others they prove nothing."""
    digests = {row.get("digest") for row in expected}
    for path in sorted(folder.glob("*.json")):
        row = _json(path)
        if isinstance(row, Mapping) and row.get("digest") in digests:
            sealed = row.get("sealed")  # of a passport
            if (sealed if isinstance(sealed, Mapping) else row).get("cell") == cell:
                yield row


def _proofs(record: Mapping[str, object]) -> Iterator[Proof]:
    """Yield what a verification reached, or all that a passport knows of them."""
    verified = record.get("verified")
    for row in verified if isinstance(verified, list) else [record]:
        level = row.get("level") if isinstance(row, Mapping) else None
        if isinstance(level, str):
            yield Proof(device=str(row.get("device")), level=level)


def _isa(record: Mapping[str, object]) -> str:
    """Return the lowest level that a passport calls proven."""
    proven = record.get("proven")
    return str(proven.get("isa", "")) if isinstance(proven, Mapping) else ""


def _json(path: Path) -> object:
    """Read a JSON file; None where it is absent or no JSON, which the lock's own check reports."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
