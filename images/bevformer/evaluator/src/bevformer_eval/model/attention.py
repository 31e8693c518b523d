"""The attentions of BEVFormer, each a residual block around multi-scale deformable attention."""

from __future__ import annotations

from typing import NamedTuple, Tuple

import torch
from torch import Tensor, nn

from bevformer_eval.data import CAMERAS
from bevformer_eval.model.constants import (
    BEV_HEIGHT,
    BEV_WIDTH,
    EMBED_DIMS,
    FFN_DIMS,
    HEAD_DIMS,
    HEADS,
    PILLAR_POINTS,
)
from bevformer_eval.ops import ms_deform_attn

BEV_SHAPE = (BEV_HEIGHT, BEV_WIDTH)
BEV_POINTS = 4  # sampled by a head in each BEV
IMAGE_POINTS = 8  # sampled by a head in each camera
BEV_QUEUE = 2  # the previous and the current BEV


class History(NamedTuple):
    """What the previous frame gives the temporal attention of one batch.

    bev: (B, 2500, 256) turned to the current heading; exists: bool (B,); shift: (B, 2) in BEV
    sizes; current: (B, 2500, 256), the BEV queries that the encoder began with.
    """

    bev: Tensor
    exists: Tensor
    shift: Tensor
    current: Tensor


class CameraView(NamedTuple):
    """What `geometry.project` says of one batch: positions (B, Q, 6, 4, 2), hits (B, Q, 6).

    feature_shape: height and width of each camera's features, 15 and 25 for 480x800 pixels.
    """

    positions: Tensor
    hits: Tensor
    feature_shape: Tuple[int, int]


def _pixels(shape: Tuple[int, int], like: Tensor) -> Tensor:
    """Return offsets divided by the map's (width, height), which sampling offsets are given in."""
    height, width = shape
    return torch.stack((like[..., 0] / width, like[..., 1] / height), -1)


class TemporalSelfAttention(nn.Module):
    """BEV queries look at the previous and at the current BEV."""

    def __init__(self) -> None:
        super().__init__()
        samples = HEADS * BEV_QUEUE * BEV_POINTS
        self.sampling_offsets = nn.Linear(BEV_QUEUE * EMBED_DIMS, samples * 2)
        self.attention_weights = nn.Linear(BEV_QUEUE * EMBED_DIMS, samples)
        self.value_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)
        self.output_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)

    def forward(self, query: Tensor, pos: Tensor, reference: Tensor, history: History) -> Tensor:
        """Return the attended queries (B, 2500, 256); reference is (2500, 2).

        A first frame looks at its own queries of this layer twice. Any other looks at the previous
        BEV and at the queries that the encoder began with, not at this layer's.
        """
        exists = history.exists[:, None, None]
        previous = torch.where(exists, history.bev, query)
        current = torch.where(exists, history.current, query)
        shift = torch.where(history.exists[:, None], history.shift, torch.zeros_like(history.shift))
        references = torch.stack(
            (reference + shift[:, None], reference.expand(len(query), -1, -1)), 2
        )

        both = torch.cat((previous, query + pos), -1)
        split = (*query.shape[:2], HEADS, BEV_QUEUE, BEV_POINTS)
        offsets = _pixels(BEV_SHAPE, self.sampling_offsets(both).view(*split, 2))
        # The two BEVs are averaged: as two levels of one attention, at half the weight each.
        weights = self.attention_weights(both).view(split).softmax(-1) / BEV_QUEUE
        value = self.value_proj(torch.cat((previous, current), 1))
        attended = ms_deform_attn(
            value.view(len(query), -1, HEADS, HEAD_DIMS),
            (BEV_SHAPE,) * BEV_QUEUE,
            references[:, :, None, :, None] + offsets,
            weights,
        )
        return self.output_proj(attended) + query


class _ImageAttention(nn.Module):
    """The deformable attention's linear layers, under the checkpoint's key for them."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling_offsets = nn.Linear(EMBED_DIMS, HEADS * IMAGE_POINTS * 2)
        self.attention_weights = nn.Linear(EMBED_DIMS, HEADS * IMAGE_POINTS)
        self.value_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)


class SpatialCrossAttention(nn.Module):
    """BEV queries look at the cameras that see their pillar, and average them.

    Upstream gathers each camera's queries and attends camera by camera. A query's offsets and
    weights do not depend on the camera, so all cameras are levels of one attention here, with the
    weight 0 where a camera does not see the pillar: the same sum, with shapes that never change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.deformable_attention = _ImageAttention()
        self.output_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)

    def forward(self, query: Tensor, features: Tensor, view: CameraView) -> Tensor:
        """Return the attended queries (B, 2500, 256); features is (B, 6 * h * w, 256)."""
        inner = self.deformable_attention
        split = (*query.shape[:2], HEADS, 1, IMAGE_POINTS)
        offsets = _pixels(view.feature_shape, inner.sampling_offsets(query).view(*split, 2))
        # Point p of a head belongs to height p % 4 of the pillar.
        repeats = IMAGE_POINTS // PILLAR_POINTS
        positions = view.positions.repeat(1, 1, 1, repeats, 1)[:, :, None]
        weights = inner.attention_weights(query).view(split).softmax(-1)
        cameras = view.hits / view.hits.sum(-1, keepdim=True).clamp(min=1).to(query.dtype)
        attended = ms_deform_attn(
            inner.value_proj(features).view(len(query), -1, HEADS, HEAD_DIMS),
            (view.feature_shape,) * len(CAMERAS),
            positions + offsets,
            weights * cameras[:, :, None, :, None],
        )
        return self.output_proj(attended) + query


class ObjectSelfAttention(nn.Module):
    """Object queries look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(EMBED_DIMS, HEADS)

    def forward(self, query: Tensor, pos: Tensor) -> Tensor:
        """Return the attended queries (B, 900, 256)."""
        key = (query + pos).transpose(0, 1)
        attended = self.attn(key, key, query.transpose(0, 1), need_weights=False)[0]
        return attended.transpose(0, 1) + query


class BevCrossAttention(nn.Module):
    """Object queries look at the BEV around their reference points."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling_offsets = nn.Linear(EMBED_DIMS, HEADS * BEV_POINTS * 2)
        self.attention_weights = nn.Linear(EMBED_DIMS, HEADS * BEV_POINTS)
        self.value_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)
        self.output_proj = nn.Linear(EMBED_DIMS, EMBED_DIMS)

    def forward(self, query: Tensor, pos: Tensor, reference: Tensor, bev: Tensor) -> Tensor:
        """Return the attended queries (B, 900, 256); reference is (B, 900, 2) in [0, 1]."""
        placed = query + pos
        split = (*query.shape[:2], HEADS, 1, BEV_POINTS)
        offsets = _pixels(BEV_SHAPE, self.sampling_offsets(placed).view(*split, 2))
        attended = ms_deform_attn(
            self.value_proj(bev).view(len(query), -1, HEADS, HEAD_DIMS),
            (BEV_SHAPE,),
            reference[:, :, None, None, None] + offsets,
            self.attention_weights(placed).view(split).softmax(-1),
        )
        return self.output_proj(attended) + query


class FeedForward(nn.Module):
    """Two linear layers and a residual."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(EMBED_DIMS, FFN_DIMS), nn.ReLU())
        self.layers = nn.Sequential(first, nn.Linear(FFN_DIMS, EMBED_DIMS))

    def forward(self, x: Tensor) -> Tensor:
        """Return x of the same shape."""
        return x + self.layers(x)
