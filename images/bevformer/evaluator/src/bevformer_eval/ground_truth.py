"""The annotated boxes of a sample, in the same frame and form as the detections."""

from __future__ import annotations

from typing import Any

import numpy as np

from bevformer_eval.data import CLASSES, Sample
from bevformer_eval.results import Boxes, headings, lidar_boxes, rotation_of


class GroundTruth:
    """Annotations read through nuscenes-devkit."""

    def __init__(self, devkit: Any) -> None:
        from nuscenes.eval.detection.utils import category_to_detection_name

        self._devkit = devkit
        self._class_of = category_to_detection_name

    def boxes(self, sample: Sample) -> Boxes:
        """Return the boxes of the ten classes that a sensor point proves; unknown velocity is 0."""
        rows, labels = [], []
        for token in self._devkit.get("sample", sample.token)["anns"]:
            row = self._devkit.get("sample_annotation", token)
            name = self._class_of(row["category_name"])
            if name is not None and row["num_lidar_pts"] + row["num_radar_pts"] > 0:
                rows.append(row)
                labels.append(CLASSES.index(name))
        if not rows:
            return Boxes(np.zeros((0, 9)), np.zeros(0), np.zeros(0, np.int64))
        boxes = lidar_boxes(
            sample,
            np.array([row["translation"] for row in rows]),
            np.array([row["size"] for row in rows]),
            headings(np.array([row["rotation"] for row in rows])),
        )
        velocity = np.nan_to_num(
            np.array([self._devkit.box_velocity(row["token"]) for row in rows])
        )
        to_lidar = (rotation_of(sample.ego2global) @ rotation_of(sample.lidar2ego)).T
        return Boxes(
            np.c_[boxes, (velocity @ to_lidar.T)[:, :2]], np.ones(len(rows)), np.array(labels)
        )
