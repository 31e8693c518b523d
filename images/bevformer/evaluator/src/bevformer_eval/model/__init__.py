"""BEVFormer-tiny, under the published checkpoint's 643 names."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn

from bevformer_eval.data import CAMERAS
from bevformer_eval.model.backbone import FPN, ResNet50
from bevformer_eval.model.coder import Detections, decode
from bevformer_eval.model.constants import BEV_CELLS, EMBED_DIMS
from bevformer_eval.model.head import BEVFormerHead, Output

__all__ = ["BEVFormerTiny", "Detections", "Output", "decode"]


class BEVFormerTiny(nn.Module):
    """Six camera images, their calibration and the ego motion to objects and the next BEV."""

    def __init__(self) -> None:
        super().__init__()
        self.img_backbone = ResNet50()
        self.img_neck = FPN()
        self.pts_bbox_head = BEVFormerHead()

    def forward(
        self,
        images: Tensor,
        lidar2img: Tensor,
        can_bus: Tensor,
        prev_bev: Optional[Tensor] = None,
        has_prev: Optional[Tensor] = None,
    ) -> Output:
        """Return the objects and the BEV of B frames, each of a scene of its own.

        images: normalised (B, 6, 3, H, W), multiples of 32, of 480 and 800 pixels where a result is
        to be the published model's; lidar2img: (B, 6, 4, 4), scaled as the images;
        can_bus: (B, 18), where metres (0 to 2) and degrees (17) are the change since the previous
        frame; prev_bev: that frame's `Output.bev`; has_prev: bool (B,), where it counts (all).
        """
        batch = len(images)
        if prev_bev is None:
            prev_bev = images.new_zeros(batch, BEV_CELLS, EMBED_DIMS)
            has_prev = images.new_zeros(batch, dtype=torch.bool)
        elif has_prev is None:
            has_prev = images.new_ones(batch, dtype=torch.bool)
        features = self.img_neck(self.img_backbone(images.flatten(0, 1)))
        history = self.pts_bbox_head.history(can_bus, prev_bev, has_prev)
        views = features.view(batch, len(CAMERAS), *features.shape[1:])
        return self.pts_bbox_head(views, lidar2img, history)
