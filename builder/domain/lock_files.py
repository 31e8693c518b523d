"""The files of a lock's folder: from their texts to a Lock, and back to the same bytes.

Each file holds one kind of input, so that a change of one shows in one diff: lock.json (what it
belongs to), base.json, apt.json, pip.json with pip/<layer>.txt, sources.json, image.json (what a
build must give), and rebuilds.json where wheels can be compiled anew for a lower ISA level.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.lockfile import ExpectedImage, Lock, PipLayer, RebuildInputs, Unlocked

SCHEMA = 1
DOCUMENTS = ("lock.json", "base.json", "apt.json", "pip.json", "sources.json", "image.json")
REBUILDS = "rebuilds.json"  # absent where there are none

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
_Row: TypeAlias = dict[str, JSON]
_Place: TypeAlias = tuple[str | int, ...]

_DEFAULTS: Mapping[str, JSON] = {
    "location": "",
    "quoted": False,
    "architecture": "",
    "tree": "",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a lock, and everything that is wrong with its form.

    `lock` leaves out what is malformed; it is None where too little is left to be judged.
    """

    lock: Lock | None
    faults: tuple[str, ...]


def layer_file(name: str) -> str:
    """Return where the requirements of the pip layer `name` stand in a lock's folder."""
    return f"pip/{name}.txt"


def dump(lock: Lock) -> Mapping[str, str]:
    """Return the text of each file of the lock's folder, by relative path."""
    documents: dict[str, JSON] = {
        "lock.json": {
            "schema": SCHEMA,
            "generated_by": f"make lock CELL={lock.cell}",
            "image": lock.image,
            "cell": lock.cell,
            "cell_digest": lock.cell_digest,
            "epoch": lock.epoch,
            "unlocked": [cast("JSON", asdict(row)) for row in lock.unlocked],
        },
        "base.json": {"artifact": _row(lock.base) if lock.base else None},
        "apt.json": {"groups": {name: _rows(lock.debs[name]) for name in lock.debs}},
        "pip.json": {
            "layers": [
                {"name": layer.name, "artifacts": _rows(layer.artifacts)} for layer in lock.pip
            ]
        },
        "sources.json": {"sources": _rows(lock.sources)},
        "image.json": {"expected": [cast("JSON", asdict(row)) for row in lock.expected]},
    }
    if lock.rebuilds:
        documents[REBUILDS] = {"rebuilds": [_rebuild_row(one) for one in lock.rebuilds]}
    texts = {name: canonical(document) for name, document in documents.items()}
    layers = (*lock.pip, *(one.layer for one in lock.rebuilds))
    return texts | {layer_file(layer.name): layer.requirements for layer in layers}


def canonical(document: JSON) -> str:
    """Return the one text of a JSON value: sorted keys, two spaces, a final newline."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read(texts: Mapping[str, str], schema: Mapping[str, object]) -> Reading:
    """Read the files of a lock's folder, under lock.schema.json; nothing is raised."""
    documents, faults = _documents(texts)
    broken: set[_Place] = set()
    for error in Draft202012Validator(schema).iter_errors(documents):
        for place, text in _explained(error):
            if str(place[0]) in documents:
                broken.add(place)
                faults.append(text)
    rows = _Rows(documents, frozenset(broken))
    lock = rows.lock(texts) if all(name in documents for name in DOCUMENTS) else None
    return Reading(lock, tuple(sorted(faults)))


def _documents(texts: Mapping[str, str]) -> tuple[dict[str, JSON], list[str]]:
    documents: dict[str, JSON] = {}
    faults = []
    for name in (*DOCUMENTS, REBUILDS):
        if name not in texts:
            if name == REBUILDS:
                continue
            faults.append(f"{name}: the file is missing")
            continue
        try:
            documents[name] = json.loads(texts[name])
        except json.JSONDecodeError as error:
            faults.append(f"{name}:{error.lineno}: not JSON: {error.msg}")
    return documents, faults


def _explained(error: ValidationError) -> Iterator[tuple[_Place, str]]:
    place = tuple(error.absolute_path)
    if not place:  # a whole file is missing, which has been said
        return
    if error.validator == "additionalProperties":
        text = f"unknown field: {error.message}"
    else:
        text = str(error.message)
    yield place, f"{where(*place)}: {text}"


def where(file: str | int, *steps: str | int) -> str:
    """Return a place in a lock as people read it: `apt.json: groups.base[3].size`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{file}: {path.removeprefix('.')}" if path else str(file)


def _row(artifact: Artifact) -> JSON:
    fields: _Row = {**asdict(artifact), "kind": artifact.kind.value}
    return {key: value for key, value in fields.items() if _DEFAULTS.get(key, ...) != value}


def _rebuild_row(one: RebuildInputs) -> JSON:
    return {
        "sdist": _row(one.sdist),
        "requirements": list(one.requirements),
        "layer": one.layer.name,
        "artifacts": _rows(one.layer.artifacts),
    }


def _rows(artifacts: tuple[Artifact, ...]) -> JSON:
    return [_row(artifact) for artifact in artifacts]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Well-formed rows of the documents; a row that the schema refused is left out."""

    documents: Mapping[str, JSON]
    broken: frozenset[_Place]

    def lock(self, texts: Mapping[str, str]) -> Lock | None:
        """Return the lock, or None where its skeleton is broken."""
        head = self.documents["lock.json"]
        if any(len(place) <= 2 for place in self.broken if place[0] != "image.json"):
            return None
        assert isinstance(head, dict)  # noqa: S101 - the schema says so
        return Lock(
            image=str(head["image"]),
            cell=str(head["cell"]),
            cell_digest=str(head["cell_digest"]),
            epoch=int(cast("int", head["epoch"])),
            base=next(iter(self._base()), None),
            debs=self._debs(),
            pip=tuple(self._layers(texts)),
            sources=self._artifacts("sources.json", "sources"),
            rebuilds=tuple(self._rebuilds(texts)),
            unlocked=tuple(self._unlocked()),
            expected=tuple(self._expected()),
        )

    def _base(self) -> Iterator[Artifact]:
        row = self._at("base.json", "artifact")
        if row is not None and self._sound("base.json", "artifact"):
            yield _artifact(cast("_Row", row))

    def _debs(self) -> Mapping[str, tuple[Artifact, ...]]:
        groups = cast("dict[str, JSON]", self._at("apt.json", "groups"))
        return {name: self._artifacts("apt.json", "groups", name) for name in groups}

    def _layers(self, texts: Mapping[str, str]) -> Iterator[PipLayer]:
        for number, row in enumerate(cast("list[_Row]", self._at("pip.json", "layers"))):
            if self._sound("pip.json", "layers", number, exact=True):
                name = str(row["name"])
                yield PipLayer(
                    name=name,
                    requirements=texts.get(layer_file(name), ""),
                    artifacts=self._artifacts("pip.json", "layers", number, "artifacts"),
                )

    def _rebuilds(self, texts: Mapping[str, str]) -> Iterator[RebuildInputs]:
        if REBUILDS not in self.documents:
            return
        for number, row in enumerate(cast("list[_Row]", self._at(REBUILDS, "rebuilds"))):
            if self._sound(REBUILDS, "rebuilds", number):
                name = str(row["layer"])
                yield RebuildInputs(
                    sdist=_artifact(cast("_Row", row["sdist"])),
                    requirements=tuple(
                        str(line) for line in cast("list[JSON]", row["requirements"])
                    ),
                    layer=PipLayer(
                        name=name,
                        requirements=texts.get(layer_file(name), ""),
                        artifacts=self._artifacts(REBUILDS, "rebuilds", number, "artifacts"),
                    ),
                )

    def _unlocked(self) -> Iterator[Unlocked]:
        for number, row in enumerate(cast("list[_Row]", self._at("lock.json", "unlocked"))):
            if self._sound("lock.json", "unlocked", number):
                fields = {key: str(value) for key, value in row.items() if key != "kind"}
                yield Unlocked(kind=ArtifactKind(str(row["kind"])), **fields)

    def _expected(self) -> Iterator[ExpectedImage]:
        for number, row in enumerate(cast("list[_Row]", self._at("image.json", "expected"))):
            if self._sound("image.json", "expected", number):
                diff_ids = tuple(str(digest) for digest in cast("list[JSON]", row["diff_ids"]))
                fields = {key: str(value) for key, value in row.items() if key != "diff_ids"}
                yield ExpectedImage(diff_ids=diff_ids, **fields)

    def _artifacts(self, *place: str | int) -> tuple[Artifact, ...]:
        if not self._sound(*place, exact=True):
            return ()
        rows = cast("list[_Row]", self._at(*place))
        return tuple(
            _artifact(row) for number, row in enumerate(rows) if self._sound(*place, number)
        )

    def _at(self, *place: str | int) -> JSON:
        value: JSON = self.documents[str(place[0])]
        for step in place[1:]:
            value = value[step]  # type: ignore[index]
        return value

    def _sound(self, *place: str | int, exact: bool = False) -> bool:
        """Say whether the schema refused nothing at `place` (below it too, unless `exact`)."""
        if exact:
            return place not in self.broken
        return not any(broken[: len(place)] == place for broken in self.broken)


def _artifact(row: _Row) -> Artifact:
    fields = {**row, "kind": ArtifactKind(str(row["kind"]))}
    return Artifact(**fields)  # type: ignore[arg-type]
