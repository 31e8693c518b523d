"""The head: queries, ego motion and camera features to class scores, boxes and the BEV."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bevformer_eval.data import CLASSES
from bevformer_eval.model import geometry
from bevformer_eval.model.attention import CameraView, History
from bevformer_eval.model.constants import (
    BEV_CELLS,
    BEV_HEIGHT,
    BEV_WIDTH,
    CODE_SIZE,
    DECODER_LAYERS,
    EMBED_DIMS,
    OBJECT_QUERIES,
    POINT_CLOUD_RANGE,
)
from bevformer_eval.model.transformer import Transformer


class Output(NamedTuple):
    """What one forward returns: the last decoder layer's objects, and the BEV.

    cls_scores: logits (B, 900, 10); bbox_preds: (B, 900, 10) as x, y, log w, log l, z, log h,
    sin yaw, cos yaw, vx, vy in the lidar frame in metres; bev: (B, 2500, 256).
    """

    cls_scores: Tensor
    bbox_preds: Tensor
    bev: Tensor


class _PositionalEncoding(nn.Module):
    """A learnt embedding of each BEV cell's column and row."""

    def __init__(self) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(BEV_HEIGHT, EMBED_DIMS // 2)
        self.col_embed = nn.Embedding(BEV_WIDTH, EMBED_DIMS // 2)

    def forward(self) -> Tensor:
        columns = self.col_embed.weight.expand(BEV_HEIGHT, -1, -1)
        rows = self.row_embed.weight[:, None].expand(-1, BEV_WIDTH, -1)
        return torch.cat((columns, rows), -1).view(BEV_CELLS, EMBED_DIMS)


def _linear_norm() -> list:
    return [nn.Linear(EMBED_DIMS, EMBED_DIMS), nn.LayerNorm(EMBED_DIMS), nn.ReLU()]


def _class_branch() -> nn.Module:
    return nn.Sequential(*_linear_norm(), *_linear_norm(), nn.Linear(EMBED_DIMS, len(CLASSES)))


def _box_branch() -> nn.Module:
    hidden = [nn.Linear(EMBED_DIMS, EMBED_DIMS), nn.ReLU()]
    hidden += [nn.Linear(EMBED_DIMS, EMBED_DIMS), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(EMBED_DIMS, CODE_SIZE))


class BEVFormerHead(nn.Module):
    """All of the model after the camera features."""

    def __init__(self) -> None:
        super().__init__()
        self.code_weights = nn.Parameter(torch.ones(CODE_SIZE), requires_grad=False)
        self.positional_encoding = _PositionalEncoding()
        self.bev_embedding = nn.Embedding(BEV_CELLS, EMBED_DIMS)
        self.query_embedding = nn.Embedding(OBJECT_QUERIES, 2 * EMBED_DIMS)
        self.transformer = Transformer()
        self.cls_branches = nn.ModuleList([_class_branch() for _ in range(DECODER_LAYERS)])
        self.reg_branches = nn.ModuleList([_box_branch() for _ in range(DECODER_LAYERS)])
        self.register_buffer("pillars", geometry.pillar_points(), persistent=False)
        self.register_buffer("rotation_base", geometry.rotation_grid_base(), persistent=False)
        self.register_buffer("half_size", geometry.bev_half_size(), persistent=False)
        low, high = torch.tensor(POINT_CLOUD_RANGE).view(2, 3)
        self.register_buffer("range_low", low, persistent=False)
        self.register_buffer("range_size", high - low, persistent=False)

    def history(self, can_bus: Tensor, prev_bev: Tensor, has_prev: Tensor) -> History:
        """Return the encoder's queries and the previous BEV, turned to the current heading."""
        signals = self.transformer.can_bus_mlp(can_bus.to(prev_bev.dtype))
        return History(
            bev=geometry.rotate_bev(prev_bev, can_bus[:, -1], self.rotation_base, self.half_size),
            exists=has_prev,
            shift=geometry.ego_shift(can_bus),
            current=self.bev_embedding.weight + signals[:, None],
        )

    def forward(self, features: Tensor, lidar2img: Tensor, history: History) -> Output:
        """Return the objects and the BEV; features is (B, 6, 256, H / 32, W / 32)."""
        transformer = self.transformer
        height, width = features.shape[-2:]
        seen = geometry.project(self.pillars, lidar2img, (height, width))
        view = CameraView(*seen, feature_shape=(height, width))
        bev = transformer.encoder(
            self.positional_encoding(), transformer.place(features), view, history
        )
        pos, query = self.query_embedding.weight.expand(len(bev), -1, -1).split(EMBED_DIMS, -1)
        reference = transformer.reference_points(pos).sigmoid()
        query, code, center = transformer.decoder(query, pos, reference, bev, self.reg_branches)
        metres = center * self.range_size + self.range_low
        boxes = torch.cat((metres[..., :2], code[..., 2:4], metres[..., 2:], code[..., 5:]), -1)
        return Output(self.cls_branches[-1](query), boxes, bev)
