"""Turns boxes in the lidar frame into nuScenes' submission format, as mmdetection3d 0.17.1."""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from bevformer_eval.data import CLASSES, RigidTransform, Sample
from bevformer_eval.data.nuscenes import matrix
from bevformer_eval.data.quaternion import product

# detection_cvpr_2019: beyond this distance in the x-y plane of the ego frame (m) nothing is
# submitted.
CLASS_RANGE = {
    "car": 50,
    "truck": 50,
    "bus": 50,
    "trailer": 50,
    "construction_vehicle": 50,
    "pedestrian": 40,
    "motorcycle": 40,
    "bicycle": 40,
    "traffic_cone": 30,
    "barrier": 30,
}
_RANGES = np.array([CLASS_RANGE[name] for name in CLASSES])
META = {
    "use_camera": True,
    "use_lidar": False,
    "use_radar": False,
    "use_map": False,
    "use_external": True,
}
_MOVING = 0.2  # m/s
# The model predicts no attribute; mmdetection3d gives one by class and speed: (moving, at rest).
_ATTRIBUTES: Dict[str, Tuple[str, str]] = {
    "car": ("vehicle.moving", "vehicle.parked"),
    "truck": ("vehicle.moving", "vehicle.parked"),
    "construction_vehicle": ("vehicle.moving", "vehicle.parked"),
    "trailer": ("vehicle.moving", "vehicle.parked"),
    "bus": ("vehicle.moving", "vehicle.stopped"),
    "motorcycle": ("cycle.with_rider", "cycle.without_rider"),
    "bicycle": ("cycle.with_rider", "cycle.without_rider"),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    "barrier": ("", ""),
    "traffic_cone": ("", ""),
}


class Boxes(NamedTuple):
    """Boxes of one sample in the lidar frame of mmdetection3d 0.17.1.

    boxes: (n, 9) x y z(bottom) w l h yaw vx vy; scores: (n,); labels: (n,) positions in CLASSES.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


Detection = Dict[str, object]


def submission(results: Dict[str, List[Detection]]) -> Dict[str, object]:
    """Return the whole content of results_nusc.json."""
    return {"meta": META, "results": results}


def format_sample(sample: Sample, found: Boxes) -> List[Detection]:
    """Return the detections of one sample that lie within range, in the global frame."""
    boxes = np.asarray(found.boxes, np.float64).reshape(-1, 9)
    to_ego, to_global = matrix(sample.lidar2ego), matrix(sample.ego2global)
    centre = boxes[:, :3].copy()
    centre[:, 2] += boxes[:, 5] / 2
    in_ego = centre @ to_ego[:3, :3].T + to_ego[:3, 3]
    in_global = in_ego @ to_global[:3, :3].T + to_global[:3, 3]
    still = np.zeros(len(boxes))
    moving = np.c_[boxes[:, 7:9], still] @ (to_global[:3, :3] @ to_ego[:3, :3]).T
    near = np.hypot(in_ego[:, 0], in_ego[:, 1]) <= _RANGES[found.labels]
    columns = (
        in_global,
        boxes[:, 3:6],
        _rotations(sample, boxes[:, 6]),
        moving[:, :2],
        np.hypot(moving[:, 0], moving[:, 1]) > _MOVING,
        np.asarray(found.labels),
        np.asarray(found.scores, np.float64),
    )
    return [
        {
            "sample_token": sample.token,
            "translation": translation,
            "size": size,
            "rotation": rotation,
            "velocity": velocity,
            "detection_name": CLASSES[label],
            "detection_score": score,
            "attribute_name": _ATTRIBUTES[CLASSES[label]][0 if moves else 1],
        }
        for translation, size, rotation, velocity, moves, label, score in zip(
            *(column[near].tolist() for column in columns)
        )
    ]


def _rotations(sample: Sample, yaw: np.ndarray) -> np.ndarray:
    """Return the (n, 4) quaternions in the global frame of boxes turned by `yaw` in the lidar's.

    mmdetection3d 0.17.1 measures yaw clockwise from the -y axis of the lidar.
    """
    w, x, y, z = product(sample.ego2global.rotation, sample.lidar2ego.rotation)
    half = (-yaw - math.pi / 2) / 2
    cos, sin = np.cos(half), np.sin(half)
    return np.stack([w * cos - z * sin, x * cos + y * sin, y * cos - x * sin, w * sin + z * cos], 1)


def lidar_boxes(
    sample: Sample, translation: np.ndarray, size: np.ndarray, heading: np.ndarray
) -> np.ndarray:
    """Return (n, 7) boxes x y z(bottom) w l h yaw in the lidar frame: `format_sample` undone.

    translation: (n, 3) centres in the global frame; size: (n, 3) w l h; heading: (n, 3) x axes in
    the global frame.
    """
    to_global = matrix(sample.ego2global) @ matrix(sample.lidar2ego)
    inverse = np.linalg.inv(to_global)
    centre = translation @ inverse[:3, :3].T + inverse[:3, 3]
    centre[:, 2] -= size[:, 2] / 2
    ahead = heading @ inverse[:3, :3].T
    yaw = -np.arctan2(ahead[:, 1], ahead[:, 0]) - np.pi / 2
    return np.c_[centre, size, yaw]


def headings(rotations: np.ndarray) -> np.ndarray:
    """Return the (n, 3) x axes of rotations given as (n, 4) quaternions w, x, y, z."""
    w, x, y, z = rotations.T
    return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1)


def rotation_of(pose: RigidTransform) -> np.ndarray:
    """Return the (3, 3) rotation of a pose."""
    return matrix(pose)[:3, :3]
