"""The NMS-free coder: the 300 best class scores of a frame and their boxes."""

from __future__ import annotations

from typing import List, NamedTuple

import torch
from torch import Tensor

from bevformer_eval.model.constants import CLASSES, MAX_DETECTIONS, POST_CENTER_RANGE
from bevformer_eval.model.head import Output


class Detections(NamedTuple):
    """The objects of one frame, best first.

    boxes: (n, 9) in the lidar frame, x, y, z of the bottom's centre, w, l, h, yaw, vx, vy in
    metres, radians and metres per second (mmdetection3d below 1.0); scores: (n,); labels: (n,) of
    CLASSES.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def decode(output: Output) -> List[Detections]:
    """Return each frame's at most 300 detections, on the output's device."""
    return [_decode_frame(*frame) for frame in zip(output.cls_scores, output.bbox_preds)]


def _decode_frame(cls_scores: Tensor, bbox_preds: Tensor) -> Detections:
    scores, order = cls_scores.sigmoid().flatten().topk(MAX_DETECTIONS)
    query = torch.div(order, len(CLASSES), rounding_mode="floor")
    x, y, log_w, log_l, z, log_h, sin, cos, vx, vy = bbox_preds[query].unbind(-1)
    height = log_h.exp()
    center = torch.stack((x, y, z), -1)
    low, high = center.new_tensor(POST_CENTER_RANGE).view(2, 3)
    kept = ((center >= low) & (center <= high)).all(-1)
    bottom = z - height * 0.5
    yaw = torch.atan2(sin, cos)
    boxes = torch.stack((x, y, bottom, log_w.exp(), log_l.exp(), height, yaw, vx, vy), -1)
    return Detections(boxes[kept], scores[kept], (order % len(CLASSES))[kept])
