"""The info file that upstream's dataset reads, as its converter makes it of the nuScenes tables.

Upstream's converter (tools/data_converter/nuscenes_converter.py) is no part of its plugin, wants
the LiDAR files and reads all of nuScenes. What the test dataset takes of an info is made here of
the reduced tables. Nothing is taken over of what the native model is fed but the CAN bus's
measurements: poses, projections and headings are upstream's own work on these infos.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np

from bevformer_eval.data import CAMERAS, RigidTransform, Sample
from bevformer_eval.data.nuscenes import Dataset, matrix
from bevformer_eval.data.tables import Row
from bevformer_eval.output import write_whole

Info = Dict[str, Any]
Locate = Callable[[str], str]  # from a path below the data root to the file to read


def write_infos(dataset: Dataset, locate: Locate, path: Path) -> None:
    """Write the infos of all samples of a dataset, in time order."""
    join = _Join(dataset, locate)
    infos = [
        join.info(sample, index)
        for scene in dataset.scenes
        for index, sample in enumerate(scene.samples)
    ]
    content = {"infos": infos, "metadata": {"version": dataset.version}}
    write_whole(path, pickle.dumps(content, protocol=4))


class _Join:
    """The tables by their tokens."""

    def __init__(self, dataset: Dataset, locate: Locate) -> None:
        tables = dataset.tables
        self._locate = locate
        self._poses = _by_token(tables["ego_pose"])
        self._calibrations = _by_token(tables["calibrated_sensor"])
        self._samples = _by_token(tables["sample"])
        sensors = _by_token(tables["sensor"])
        self._data: Dict[object, Dict[object, Row]] = {}
        for row in tables["sample_data"]:
            sensor = self._calibrations[row["calibrated_sensor_token"]]["sensor_token"]
            channel = sensors[sensor]["channel"]
            self._data.setdefault(row["sample_token"], {})[channel] = row

    def info(self, sample: Sample, index: int) -> Info:
        row, data = self._samples[sample.token], self._data[sample.token]
        lidar = data["LIDAR_TOP"]
        calibration = self._calibrations[lidar["calibrated_sensor_token"]]
        pose = self._poses[lidar["ego_pose_token"]]
        return {
            "token": sample.token,
            "prev": row["prev"],
            "next": row["next"],
            "scene_token": sample.scene_token,
            "frame_idx": index,
            "timestamp": sample.timestamp,
            "lidar_path": str(lidar["filename"]),  # named in the results' metadata, never read
            "sweeps": [],
            "can_bus": sample.can_bus.copy(),
            "lidar2ego_translation": calibration["translation"],
            "lidar2ego_rotation": calibration["rotation"],
            "ego2global_translation": pose["translation"],
            "ego2global_rotation": pose["rotation"],
            "cams": {camera: self._camera(data[camera], lidar) for camera in CAMERAS},
        }

    def _camera(self, row: Row, lidar: Row) -> Info:
        to_lidar = np.linalg.inv(self._to_global(lidar)) @ self._to_global(row)
        calibration = self._calibrations[row["calibrated_sensor_token"]]
        return {
            "data_path": self._locate(str(row["filename"])),
            "cam_intrinsic": np.array(calibration["camera_intrinsic"]),
            "sensor2lidar_rotation": to_lidar[:3, :3],
            "sensor2lidar_translation": to_lidar[:3, 3],
        }

    def _to_global(self, row: Row) -> np.ndarray:
        pose = _transform(self._poses[row["ego_pose_token"]])
        calibration = _transform(self._calibrations[row["calibrated_sensor_token"]])
        return matrix(pose) @ matrix(calibration)


def _by_token(rows: List[Row]) -> Dict[object, Row]:
    return {row["token"]: row for row in rows}


def _transform(row: Row) -> RigidTransform:
    return RigidTransform(tuple(row["translation"]), tuple(row["rotation"]))  # type: ignore[arg-type]
