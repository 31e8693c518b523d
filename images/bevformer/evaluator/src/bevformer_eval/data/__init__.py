"""What one nuScenes sample gives to the model, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np

# The order in which the model sees the cameras (the order of upstream's info files).
CAMERAS = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_FRONT_LEFT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
)


@dataclass(frozen=True)
class RigidTransform:
    """A pose as the nuScenes tables give it: translation in metres and quaternion w, x, y, z."""

    translation: Tuple[float, float, float]
    rotation: Tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """One annotated keyframe.

    `images` are paths below the data root by camera; `lidar2img` is (6, 4, 4) float64 for the
    800x450 image, in the order of CAMERAS; `can_bus` is (18,) float64 as upstream's dataset gives
    it, before the differences between two frames.
    """

    token: str
    scene_token: str
    scene_name: str
    timestamp: int
    prev: str
    images: Dict[str, str]
    lidar2img: np.ndarray
    can_bus: np.ndarray
    ego2global: RigidTransform
    lidar2ego: RigidTransform
