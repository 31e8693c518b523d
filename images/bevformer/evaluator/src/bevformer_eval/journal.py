"""What is already evaluated, scene by scene, so that a killed run goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

import numpy as np

from bevformer_eval.errors import DataError
from bevformer_eval.output import storage_errors, write_json, write_whole
from bevformer_eval.results import Boxes

_RECORDS = 2  # their version: records of another are not looked at


class Record(NamedTuple):
    """A finished scene: the boxes of its samples in order, and how they came about."""

    boxes: List[Boxes]
    facts: Dict[str, Any]


class Journal:
    """One file for each finished scene, written whole or not at all, in a folder of the run.

    The folder's name is a hash of what decides the result (data, split, model, weights,
    arithmetic), so results of different runs never mix. The arrays are kept as they are: a resumed
    run gives the same bytes.
    """

    def __init__(self, work_dir: Path, identity: Mapping[str, object]) -> None:
        whole = {**identity, "records": _RECORDS}
        digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = work_dir / "journal" / digest
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "run.json", identity)

    def _file(self, scene_token: str) -> Path:
        return self.folder / f"scene-{scene_token}.npz"

    def finished(self, scene_token: str) -> bool:
        """Say whether a scene is recorded, to the end of its file."""
        return zipfile.is_zipfile(self._file(scene_token))

    def read(self, scene_token: str) -> Record:
        """Return what was recorded of a scene; raise DataError if the record is damaged."""
        try:
            with np.load(str(self._file(scene_token)), allow_pickle=False) as file:
                arrays = [file[name] for name in ("boxes", "scores", "labels")]
                cuts = np.cumsum(file["counts"])[:-1]
                facts = json.loads(file["facts"].tobytes().decode())
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            hint = f"remove {self.folder}, or evaluate again with --fresh"
            raise DataError(f"{self._file(scene_token)} is damaged: {error}", hint) from error
        return Record([Boxes(*parts) for parts in zip(*(np.split(a, cuts) for a in arrays))], facts)

    def write(self, scene_token: str, boxes: Sequence[Boxes], facts: Mapping[str, object]) -> None:
        """Record a finished scene."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            boxes=np.concatenate([found.boxes for found in boxes]),
            scores=np.concatenate([found.scores for found in boxes]),
            labels=np.concatenate([found.labels for found in boxes]),
            counts=np.array([len(found.boxes) for found in boxes]),
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
        )
        write_whole(self._file(scene_token), buffer.getvalue())

    def forget(self, scene_tokens: List[str]) -> None:
        """Remove the records of scenes."""
        for token in scene_tokens:
            with contextlib.suppress(FileNotFoundError):
                self._file(token).unlink()
