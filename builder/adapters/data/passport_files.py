"""Records of proofs and verifications by the digest that they are about, and sealed parts read."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from builder.adapters.data import evidence_files, schemas
from builder.domain.isa import IsaLevel
from builder.domain.passport import Run, Verified
from builder.domain.sealed import Sealed, SealedDocument, read_sealed
from builder.errors import UsageError

Record = Mapping[str, object]


def read_label(text: str, image: str) -> Sealed:
    """Read the sealed part of a passport from an image's label; none or another is a UsageError."""
    if not text:
        message = f"{image} carries no passport"
        raise UsageError(message, hint="only images that Cellar built have one; build it anew")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    wrong = list(schemas.validator("sealed").iter_errors(found))
    if wrong:
        where = ".".join(str(part) for part in wrong[0].absolute_path) or "the whole"
        message = f"{image} carries a passport of another form ({where}: {wrong[0].message})"
        raise UsageError(message, hint="another version of Cellar built it; build it anew")
    return read_sealed(cast("SealedDocument", found))


def records(folders: list[Path], digest: str) -> tuple[Record, ...]:
    """Return every JSON record below the folders that is about this digest, by file name."""
    found = (
        evidence_files.read(path) for folder in folders for path in sorted(folder.glob("*.json"))
    )
    return tuple(record for record in found if record and record.get("digest") == digest)


def runs(found: tuple[Record, ...]) -> tuple[Run, ...]:
    """Return the proofs among records, each once."""
    return tuple(dict.fromkeys(run for record in found for run in _run(record)))


def verifications(found: tuple[Record, ...]) -> tuple[Verified, ...]:
    """Return the verifications among records that reached a level, each once."""
    return tuple(dict.fromkeys(one for record in found for one in _verified(record)))


def size_of(found: tuple[Record, ...]) -> int | None:
    """Return the size that a record states."""
    return next((size for record in found if isinstance(size := record.get("size"), int)), None)


def _run(record: Record) -> Iterator[Run]:
    if "outcomes" not in record or not record.get("level"):
        return
    outcomes = cast("list[dict[str, object]]", record["outcomes"])
    suspects = cast("list[dict[str, object]]", record.get("suspects", []))
    refused = {
        site["function"]
        for one in outcomes
        for site in cast("list[dict[str, object]]", one.get("sites", []))
    } - {""}
    entered = [one for one in suspects if one["entered_by"]]
    harmless = sum(one.get("function") not in refused for one in entered)
    names: dict[str, list[str]] = {}
    for one in outcomes:
        ending = str(one["ending"])
        kind = ending if ending in ("passed", "known") else "failed"
        workload = cast("dict[str, object]", one["workload"])
        names.setdefault(kind, []).append(_named(workload, known=kind == "known"))
    yield Run(
        level=IsaLevel(str(record["level"])),
        how="qemu" if record.get("emulator") else "native",
        cpu=str(record["model"]),
        passed=tuple(names.get("passed", ())),
        failed=tuple(names.get("failed", ())),
        known=tuple(names.get("known", ())),
        date=str(record.get("date") or ""),
        entered=harmless,
        unentered=len(suspects) - len(entered),
    )


def _named(workload: Mapping[str, object], *, known: bool) -> str:
    """Return a workload's name, with what it covers (a pass tells no more), or how it crashes."""
    if known:
        return str(cast("dict[str, object]", workload["known"])["reason"])
    covers = workload.get("covers")
    return f"{workload['name']}: {covers}" if covers else str(workload["name"])


def _verified(record: Record) -> Iterator[Verified]:
    if "checks" in record and record.get("level") and not record.get("failed"):
        date = str(record.get("date") or "")
        yield Verified(level=str(record["level"]), device=str(record["device"]), date=date)
