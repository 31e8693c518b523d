"""Reads the nuScenes tables row by row, and keeps only what a split needs.

v1.0-trainval has 2.6 million rows of sample_data; loaded whole they take gigabytes. Here a table is
decoded in pieces, so that memory is bounded by the rows kept (42 000 of sample_data for val) and
not by the size of the table.
"""

from __future__ import annotations

import io
import json
import re
from typing import Callable, Dict, Iterator, List

from bevformer_eval.data import CAMERAS
from bevformer_eval.data.source import Source
from bevformer_eval.errors import DataError

Row = Dict[str, object]
Tables = Dict[str, List[Row]]

TABLE_NAMES = [
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
]
_CHUNK = 1 << 20
_GAP = re.compile(r"[\s,]*")
_CHANNELS = {*CAMERAS, "LIDAR_TOP"}


def rows(source: Source, path: str) -> Iterator[Row]:
    """Yield the records of one table; raise DataError where it is no whole array of objects."""
    decode = json.JSONDecoder().raw_decode
    with io.TextIOWrapper(source.open(path), encoding="utf-8") as stream:
        pending = stream.read(_CHUNK)
        if not pending.lstrip().startswith("["):
            raise _malformed(source, path)
        at = pending.index("[") + 1
        while True:
            at = _GAP.match(pending, at).end()  # type: ignore[union-attr]
            if pending.startswith("]", at):
                return
            try:
                row, at = decode(pending, at)
            except json.JSONDecodeError:
                more = stream.read(_CHUNK)
                if not more:
                    raise _malformed(source, path) from None
                pending, at = pending[at:] + more, 0
                continue
            if not isinstance(row, dict):
                raise _malformed(source, path)
            yield row


def _malformed(source: Source, path: str) -> DataError:
    return DataError(
        f"{source.name}: {path} is cut off or not a nuScenes table",
        "unpack or download the metadata archive again",
    )


def select(source: Source, version: str, scene_names: List[str]) -> Tables:
    """Return the tables reduced to the named scenes, their keyframes, six cameras and LIDAR_TOP.

    What is left is closed under its tokens, so nuscenes-devkit loads it as a small nuScenes of its
    own.
    """
    absent = [name for name in TABLE_NAMES if not source.exists(f"{version}/{name}.json")]
    if absent:
        raise DataError(
            f"{source.name}: {version} lacks the tables {', '.join(absent)}",
            f"unpack the metadata archive of {version} there, or add its .tgz to --data",
        )
    return _Selection(source, version, set(scene_names)).tables


class _Selection:
    """The reduction, table after table; each step needs the tokens that the one before it kept."""

    def __init__(self, source: Source, version: str, names: set[str]) -> None:
        self._source, self._version = source, version
        self.tables: Tables = {name: [] for name in TABLE_NAMES}
        for name in ("category", "attribute", "visibility", "sensor"):
            self._keep(name, lambda _: True)
        self._keep("scene", lambda row: row["name"] in names)
        self._keep("sample", self._is_in("scene_token", "scene"))
        channel = {row["token"]: row["channel"] for row in self.tables["sensor"]}
        self._keep("calibrated_sensor", lambda row: channel.get(row["sensor_token"]) in _CHANNELS)
        samples, sensors = self._tokens("sample"), self._tokens("calibrated_sensor")
        self._keep(
            "sample_data",
            lambda row: (
                bool(row["is_key_frame"])
                and row["sample_token"] in samples
                and row["calibrated_sensor_token"] in sensors
            ),
        )
        self._keep_referenced(
            "calibrated_sensor",
            {row["calibrated_sensor_token"] for row in self.tables["sample_data"]},
        )
        poses = {row["ego_pose_token"] for row in self.tables["sample_data"]}
        self._keep("ego_pose", lambda row: row["token"] in poses)
        self._keep("sample_annotation", self._is_in("sample_token", "sample"))
        instances = {row["instance_token"] for row in self.tables["sample_annotation"]}
        self._keep("instance", lambda row: row["token"] in instances)
        logs = {row["log_token"] for row in self.tables["scene"]}
        self._keep("log", lambda row: row["token"] in logs)
        self._keep("map", lambda _: True)
        for row in self.tables["map"]:
            listed: List[object] = row["log_tokens"]  # type: ignore[assignment]
            row["log_tokens"] = [log for log in listed if log in logs]
        self._unlink_sweeps()

    def _keep(self, name: str, wanted: Callable[[Row], bool]) -> None:
        path = f"{self._version}/{name}.json"
        try:
            self.tables[name] = [row for row in rows(self._source, path) if wanted(row)]
        except KeyError as error:
            hint = "this is not a nuScenes v1.0 table"
            raise DataError(
                f"{self._source.name}: {path}: a record lacks the field {error}", hint
            ) from error

    def _keep_referenced(self, name: str, tokens: set[object]) -> None:
        self.tables[name] = [row for row in self.tables[name] if row["token"] in tokens]

    def _tokens(self, name: str) -> set[object]:
        return {row["token"] for row in self.tables[name]}

    def _is_in(self, field: str, name: str) -> Callable[[Row], bool]:
        tokens = self._tokens(name)
        return lambda row: row[field] in tokens

    def _unlink_sweeps(self) -> None:
        """Keep prev and next of sample_data within the rows kept: the sweeps are gone."""
        kept = self._tokens("sample_data")
        for row in self.tables["sample_data"]:
            for link in ("prev", "next"):
                if row[link] not in kept:
                    row[link] = ""
