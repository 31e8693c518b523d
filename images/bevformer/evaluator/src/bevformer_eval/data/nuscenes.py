"""The samples of a nuScenes split, scene by scene, with all that the model and the scoring need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from bevformer_eval.data import CAMERAS, SCALE, RigidTransform, Sample, can_bus
from bevformer_eval.data.infos import read_can_bus
from bevformer_eval.data.source import Source
from bevformer_eval.data.tables import Row, Tables, rows, select
from bevformer_eval.errors import DataError, UsageError
from bevformer_eval.output import storage_errors, write_json

DEFAULT_SPLIT = {"v1.0-mini": "mini_val", "v1.0-trainval": "val"}
_LISTED = 3  # how many missing files an error names


@dataclass(frozen=True)
class Scene:
    """One scene and its samples in time order."""

    token: str
    name: str
    samples: List[Sample]


@dataclass(frozen=True)
class Dataset:
    """A split of nuScenes: its scenes in time order, and the tables reduced to them."""

    source: Source
    version: str
    split: str
    scenes: List[Scene]
    tables: Tables

    @property
    def size(self) -> int:
        """The number of samples."""
        return sum(len(scene.samples) for scene in self.scenes)


@dataclass(frozen=True)
class Request:
    """What part of which nuScenes is asked for; an empty field means the default."""

    version: str = ""
    split: str = ""
    partial: bool = False  # evaluate what is there of the split
    infos: Optional[Path] = None  # upstream's pickle, for its CAN bus vectors


def load(source: Source, request: Request, cache: Path) -> Dataset:
    """Read a split and check, before the first frame, that every file it needs is there.

    The reduced tables are kept in `cache` with the stamps of what they were made from.
    """
    version = _version(source, request.version)
    split = request.split or DEFAULT_SPLIT[version]
    names = _scene_names(source, version, split, partial=request.partial)
    tables = _cached_tables(source, version, names, cache)
    scenes = _scenes(source, tables, request.infos)
    dataset = Dataset(source, version, split, scenes, tables)
    _check_images(dataset)
    return dataset


def _version(source: Source, wanted: str) -> str:
    found = [version for version in source.versions() if version in DEFAULT_SPLIT]
    listed = ", ".join(source.versions()) or "no nuScenes tables"
    if wanted and wanted not in found:
        raise DataError(
            f"{source.name} has no tables of {wanted} (it has {listed})",
            f"unpack the metadata archive of {wanted} there, or choose another --version",
        )
    if not wanted and len(found) != 1:
        hint = "name the folder that holds v1.0-trainval or v1.0-mini, or the metadata archive too"
        if found:
            hint = "choose one with --version"
        raise DataError(f"{source.name}: cannot tell the nuScenes version (it has {listed})", hint)
    return wanted or found[0]


def _scene_names(source: Source, version: str, split: str, *, partial: bool) -> List[str]:
    """Return the scenes of the split that are in the tables; all of them unless `partial`."""
    from nuscenes.utils.splits import create_splits_scenes

    known = create_splits_scenes()
    if (
        split not in known
        or split.startswith("mini") != version.endswith("mini")
        or split == "test"
    ):
        fit = [
            name
            for name in known
            if name.startswith("mini") == version.endswith("mini") and name != "test"
        ]
        raise UsageError(
            f"the split {split!r} does not go with {version}", f"choose one of {', '.join(fit)}"
        )
    present = {str(row["name"]) for row in rows(source, f"{version}/scene.json")}
    names = [name for name in known[split] if name in present]
    lacking = len(known[split]) - len(names)
    if not names or (lacking and not partial):
        hint = "use the whole metadata archive, or evaluate what is there with --partial"
        raise DataError(
            f"{source.name}: {version} has {len(names)} of {len(known[split])} scenes of {split}",
            hint if names else "choose another --split",
        )
    return names


def _cached_tables(source: Source, version: str, names: Sequence[str], cache: Path) -> Tables:
    key = {
        "stamps": {name: list(stamp) for name, stamp in source.stamps().items()},
        "scenes": list(names),
    }
    file = cache / f"tables-{version}.json"
    try:
        with file.open(encoding="utf-8") as stream:
            kept = json.load(stream)
        if kept["key"] == key:
            tables: Tables = kept["tables"]
            return tables
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent, of another version, or cut off: made again
    tables = select(source, version, list(names))
    with storage_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
    write_json(file, {"key": key, "tables": tables}, indent=None)
    return tables


def _scenes(source: Source, tables: Tables, infos: Optional[Path]) -> List[Scene]:
    measured = _from_infos(infos) if infos is not None else _from_files(source, tables)
    builder = _Builder(tables)
    by_scene: Dict[object, List[Row]] = {row["token"]: [] for row in tables["scene"]}
    for row in sorted(tables["sample"], key=lambda row: int(row["timestamp"])):  # type: ignore[call-overload]
        by_scene[row["scene_token"]].append(row)
    scenes = []
    for row in tables["scene"]:
        name, token = str(row["name"]), str(row["token"])
        if not by_scene[token]:
            hint = "the tables are incomplete; unpack the metadata archive again"
            raise DataError(f"{source.name}: {name} has no sample", hint)
        vectors = measured(name, by_scene[token])
        samples = [
            builder.sample(sample, name, vector) for sample, vector in zip(by_scene[token], vectors)
        ]
        scenes.append(Scene(token, name, samples))
    return sorted(
        (scene for scene in scenes if scene.samples), key=lambda scene: scene.samples[0].timestamp
    )


# From a scene's name and samples to their (18,) vectors.
_Measured = Callable[[str, Sequence[Row]], List[np.ndarray]]


def _from_files(source: Source, tables: Tables) -> _Measured:
    names = [str(row["name"]) for row in tables["scene"]]
    absent = can_bus.problems(source, names)
    if absent:
        raise DataError(
            f"{source.name}: no CAN bus for {len(absent)} of {len(names)} scenes, "
            f"first {can_bus.path_of(absent[0])}",
            "download nuScenes' can_bus.zip, and unpack it into the data root or add it to --data",
        )

    def measured(name: str, samples: Sequence[Row]) -> List[np.ndarray]:
        messages = can_bus.read_messages(source, name)
        stamps = [int(row["timestamp"]) for row in samples]  # type: ignore[call-overload]
        return [can_bus.vector(source, name, messages, stamp) for stamp in stamps]

    return measured


def _from_infos(infos: Path) -> _Measured:
    vectors = read_can_bus(infos)

    def measured(name: str, samples: Sequence[Row]) -> List[np.ndarray]:
        absent = [row["token"] for row in samples if row["token"] not in vectors]
        if absent:
            hint = "give the info file of the same version and split, or leave --infos out"
            raise DataError(
                f"{infos}: {len(absent)} samples of {name} are not in it, first {absent[0]}", hint
            )
        return [vectors[str(row["token"])] for row in samples]

    return measured


class _Builder:
    """Joins the tables into samples."""

    def __init__(self, tables: Tables) -> None:
        self._pose = {row["token"]: _transform(row) for row in tables["ego_pose"]}
        self._calibration = {row["token"]: row for row in tables["calibrated_sensor"]}
        channel = {row["token"]: str(row["channel"]) for row in tables["sensor"]}
        self._data: Dict[object, Dict[str, Row]] = {row["token"]: {} for row in tables["sample"]}
        for row in tables["sample_data"]:
            sensor = self._calibration[row["calibrated_sensor_token"]]["sensor_token"]
            self._data[row["sample_token"]][channel[sensor]] = row

    def sample(self, row: Row, scene_name: str, measured: np.ndarray) -> Sample:
        """Return one sample; DataError if one of its sensors is absent."""
        data = self._data[row["token"]]
        absent = [channel for channel in (*CAMERAS, "LIDAR_TOP") if channel not in data]
        if absent:
            raise DataError(
                f"sample {row['token']} of {scene_name} has no sample_data for {', '.join(absent)}",
                "the tables are incomplete; unpack the metadata archive again",
            )
        lidar = data["LIDAR_TOP"]
        ego = self._pose[lidar["ego_pose_token"]]
        lidar2ego = _transform(self._calibration[lidar["calibrated_sensor_token"]])
        lidar2global = matrix(ego) @ matrix(lidar2ego)
        return Sample(
            token=str(row["token"]),
            scene_token=str(row["scene_token"]),
            scene_name=scene_name,
            timestamp=int(row["timestamp"]),  # type: ignore[call-overload]
            prev=str(row["prev"]),
            images={camera: str(data[camera]["filename"]) for camera in CAMERAS},
            lidar2img=np.stack([self._lidar2img(data[camera], lidar2global) for camera in CAMERAS]),
            can_bus=can_bus.with_pose(measured, ego),
            ego2global=ego,
            lidar2ego=lidar2ego,
        )

    def _lidar2img(self, camera: Row, lidar2global: np.ndarray) -> np.ndarray:
        """Return the (4, 4) projection into the halved image, by the ego pose at its own time."""
        calibration = self._calibration[camera["calibrated_sensor_token"]]
        camera2global = matrix(self._pose[camera["ego_pose_token"]]) @ matrix(
            _transform(calibration)
        )
        return project(calibration["camera_intrinsic"], np.linalg.inv(camera2global) @ lidar2global)


def project(intrinsic: object, lidar2camera: np.ndarray) -> np.ndarray:
    """Return the (4, 4) projection of lidar points into the image scaled by 0.5."""
    pinhole = np.eye(4)
    pinhole[:3, :3] = intrinsic
    return np.diag([SCALE, SCALE, 1.0, 1.0]) @ pinhole @ lidar2camera


def _transform(row: Mapping[str, object]) -> RigidTransform:
    return RigidTransform(tuple(row["translation"]), tuple(row["rotation"]))  # type: ignore[arg-type]


def matrix(pose: RigidTransform) -> np.ndarray:
    """Return the (4, 4) float64 matrix of a pose; its quaternion need not have length 1."""
    q = np.asarray(pose.rotation, np.float64)
    w, x, y, z = q / np.linalg.norm(q)
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, 3] = pose.translation
    return result


def _check_images(dataset: Dataset) -> None:
    wanted = [
        path
        for scene in dataset.scenes
        for sample in scene.samples
        for path in sample.images.values()
    ]
    absent = [path for path in wanted if not dataset.source.exists(path)]
    if absent:
        raise DataError(
            f"{dataset.source.name}: {len(absent)} of {len(wanted)} camera images are missing, "
            f"first {', '.join(absent[:_LISTED])}",
            "unpack every blobs archive of the split, or add the missing ones to --data",
        )
