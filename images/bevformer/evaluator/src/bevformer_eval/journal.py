"""What is already evaluated, scene by scene, so that a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from bevformer_eval.output import storage_errors, write_json

Record = Dict[str, object]
_END = b"}\n"  # how write_json ends a file


class Journal:
    """One file for each finished scene, written whole or not at all, in a folder of the run.

    The folder's name is a hash of what decides the result (data, split, model, weights,
    arithmetic), so results of different runs never mix. JSON keeps every float64 exactly: a resumed
    run gives the same bytes.
    """

    def __init__(self, work_dir: Path, identity: Mapping[str, object]) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = work_dir / "journal" / digest
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "run.json", identity)

    def _file(self, scene_token: str) -> Path:
        return self.folder / f"scene-{scene_token}.json"

    def read(self, scene_token: str) -> Optional[Record]:
        """Return what was recorded of a scene; None if it is not finished."""
        try:
            with self._file(scene_token).open(encoding="utf-8") as stream:
                record: Record = json.load(stream)
        except (FileNotFoundError, ValueError):
            return None
        return record

    def finished(self, scene_token: str) -> bool:
        """Say whether a scene is recorded, to the end of its file."""
        try:
            with self._file(scene_token).open("rb") as stream:
                stream.seek(-len(_END), os.SEEK_END)
                return stream.read() == _END
        except OSError:  # absent, or shorter than any record
            return False

    def write(self, scene_token: str, record: Record) -> None:
        """Record a finished scene."""
        write_json(self._file(scene_token), record)

    def forget(self, scene_tokens: List[str]) -> None:
        """Remove the records of scenes."""
        for token in scene_tokens:
            self._file(token).unlink(missing_ok=True)
