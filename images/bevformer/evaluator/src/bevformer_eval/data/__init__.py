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
# The order of the checkpoint's class scores (bevformer_tiny.py, class_names).
CLASSES = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)

SOURCE_HEIGHT, SOURCE_WIDTH = 900, 1600  # nuScenes' JPEGs
SCALE = 0.5
STRIDE = 32  # pixels of an image that one cell of its features stands for
IMAGE_HEIGHT, IMAGE_WIDTH = 480, 800  # what the model reads: scaled, padded to multiples of STRIDE
PIXEL_MEAN = (123.675, 116.28, 103.53)  # red, green, blue
PIXEL_STD = (58.395, 57.12, 57.375)
CAN_BUS_SIZE = 18


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
