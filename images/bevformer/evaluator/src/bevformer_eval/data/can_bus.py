"""The 18 numbers of the CAN bus that the model reads with each frame."""

from __future__ import annotations

import json
import math
from typing import Dict, List, Sequence

import numpy as np

from bevformer_eval.data import CAN_BUS_SIZE, RigidTransform
from bevformer_eval.data.source import Source
from bevformer_eval.errors import DataError

# Scenes for which nuScenes has no CAN bus at all (nuscenes-devkit, can_bus_api.py); upstream gives
# them zeros.
WITHOUT_CAN_BUS = frozenset(
    f"scene-{number:04d}" for number in (*range(161, 169), *range(170, 177), *range(309, 315))
)
# After position 3 and orientation 4: acceleration 3, rotation rate 3, velocity 3; then the ego
# vehicle's yaw in radians and in degrees.
_MEASURED = slice(7, 16)

Message = Dict[str, object]


def path_of(scene_name: str) -> str:
    """Return where the pose messages of a scene are, below the data root."""
    return f"can_bus/{scene_name}_pose.json"


def read_messages(source: Source, scene_name: str) -> List[Message]:
    """Return the pose messages of one scene in file order; none where nuScenes has none."""
    if scene_name in WITHOUT_CAN_BUS:
        return []
    path = path_of(scene_name)
    with source.open(path) as stream:
        try:
            messages = json.loads(stream.read().decode("utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise _malformed(source, path) from error
    if not isinstance(messages, list) or not messages:
        raise _malformed(source, path)
    if any(
        not isinstance(message, dict) or not {"utime", "pos", "orientation"} <= set(message)
        for message in messages
    ):
        raise _malformed(source, path)
    return messages


def _malformed(source: Source, path: str) -> DataError:
    return DataError(
        f"{source.name}: {path} is cut off or not a CAN bus pose file", "download can_bus.zip again"
    )


def vector(
    source: Source, scene_name: str, messages: Sequence[Message], timestamp: int
) -> np.ndarray:
    """Return (18,) zeros but for the acceleration, rotation rate and velocity of one keyframe.

    They are taken, in the order of their keys in the file, from the first message *after* the
    keyframe: upstream's converter breaks out of its loop there and reads that message, although it
    has kept the one before. The published result was computed so.
    """
    result = np.zeros(CAN_BUS_SIZE)
    if not messages:
        return result
    later = (m for m in messages if m["utime"] > timestamp)  # type: ignore[operator]
    following = next(later, messages[-1])
    try:
        result[_MEASURED] = [
            number
            for key in messages[0]
            if key not in {"utime", "pos", "orientation"}
            for number in following[key]  # type: ignore[attr-defined]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(source, path_of(scene_name)) from error
    return result


def with_pose(measured: np.ndarray, ego2global: RigidTransform) -> np.ndarray:
    """Return the (18,) vector with the ego pose's position, orientation and heading set."""
    result = measured.copy()
    result[:3] = ego2global.translation
    # Upstream assigns a pyquaternion object to the four places; numpy takes its float, which is the
    # scalar part, and fills all four with it. The published result was computed so.
    result[3:7] = ego2global.rotation[0]
    degrees = yaw(ego2global) / math.pi * 180
    if degrees < 0:
        degrees += 360
    result[-2] = degrees / 180 * math.pi
    result[-1] = degrees
    return result


def yaw(pose: RigidTransform) -> float:
    """Return the heading of the pose's x axis in the x-y plane, in radians."""
    w, x, y, z = pose.rotation
    return math.atan2(2.0 * (x * y + w * z), w * w + x * x - y * y - z * z)


def problems(source: Source, scene_names: Sequence[str]) -> List[str]:
    """Return the scenes that should have a CAN bus file and do not."""
    return [
        name
        for name in scene_names
        if name not in WITHOUT_CAN_BUS and not source.exists(path_of(name))
    ]
