"""The NMS-free coder: the 300 best class scores of a frame and their boxes."""

from __future__ import annotations

from typing import List, NamedTuple

import torch
from torch import Tensor

from bevformer_eval.data import CLASSES
from bevformer_eval.model.constants import CODE_SIZE, MAX_DETECTIONS, POST_CENTER_RANGE
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


class Best(NamedTuple):
    """The best 300 scores of each frame: fixed shapes, as a captured graph needs them.

    boxes: (B, 300, 9), scores and labels: (B, 300), kept: bool (B, 300), inside of the range.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    kept: Tensor


def decode(output: Output) -> List[Detections]:
    """Return each frame's at most 300 detections, on the output's device."""
    frames = zip(*best(output))
    return [Detections(*(part[kept] for part in frame)) for *frame, kept in frames]


def best(output: Output) -> Best:
    """Return the boxes of each frame's best scores, and which of them lie inside of the range."""
    scores, order = output.cls_scores.sigmoid().flatten(1).topk(MAX_DETECTIONS)
    query = torch.div(order, len(CLASSES), rounding_mode="floor")
    codes = output.bbox_preds.gather(1, query[..., None].expand(-1, -1, CODE_SIZE))
    x, y, log_w, log_l, z, log_h, sin, cos, vx, vy = codes.unbind(-1)
    kept = torch.ones_like(x, dtype=torch.bool)
    for axis, low, high in zip((x, y, z), POST_CENTER_RANGE[:3], POST_CENTER_RANGE[3:]):
        kept = kept & (axis >= low) & (axis <= high)
    height = log_h.exp()
    bottom = z - height * 0.5
    yaw = torch.atan2(sin, cos)
    boxes = torch.stack((x, y, bottom, log_w.exp(), log_l.exp(), height, yaw, vx, vy), -1)
    return Best(boxes, scores, order % len(CLASSES), kept)
