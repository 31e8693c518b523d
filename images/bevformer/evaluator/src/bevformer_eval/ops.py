"""Multi-scale deformable attention: mmcv's CUDA op where it is there, else the PyTorch form."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from bevformer_eval.output import native_talk_on_stderr

SpatialShapes = Tuple[Tuple[int, int], ...]
OP = "ms_deform_attn_forward"


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Return `ms_deform_attn_pytorch`'s result, by mmcv's op on a GPU that it serves."""
    arguments = (value, spatial_shapes, sampling_locations, attention_weights)
    if value.is_cuda and value.dtype == torch.float32 and mmcv_serves(value.device):
        return ms_deform_attn_mmcv(*arguments)
    return ms_deform_attn_pytorch(*arguments)


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
    queries = sampling_locations.shape[1]
    grids = (2 * sampling_locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    weights = attention_weights.permute(3, 0, 2, 1, 4).flatten(1, 2).unsqueeze(2)
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


def ms_deform_attn_mmcv(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Return `ms_deform_attn_pytorch`'s result by mmcv's CUDA op; it can be differentiated."""
    shapes, starts = _levels(spatial_shapes, value.device)
    return _MmcvFunction.apply(value, shapes, starts, sampling_locations, attention_weights)


class _MmcvFunction(torch.autograd.Function):
    """mmcv's op as autograd sees it. The op asks for contiguous tensors and the whole batch."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        whole = tuple(tensor.contiguous() for tensor in tensors)
        ctx.save_for_backward(*whole)
        return mmcv_ext().ms_deform_attn_forward(*whole, im2col_step=len(whole[0]))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tuple[Optional[Tensor], ...]:
        value, shapes, starts, locations, weights = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in (value, locations, weights)]
        mmcv_ext().ms_deform_attn_backward(
            value,
            shapes,
            starts,
            locations,
            weights,
            grad_outputs[0].contiguous(),
            *grads,
            im2col_step=len(value),
        )
        return grads[0], None, None, grads[1], grads[2]


@functools.lru_cache(maxsize=None)
def _levels(spatial_shapes: SpatialShapes, device: torch.device) -> Tuple[Tensor, Tensor]:
    """Return the shapes and first cells of the levels on the device, made once: no later sync."""
    starts = [0]
    for height, width in spatial_shapes[:-1]:
        starts.append(starts[-1] + height * width)
    shapes = torch.tensor(spatial_shapes, dtype=torch.int64, device=device)
    return shapes, torch.tensor(starts, dtype=torch.int64, device=device)


def mmcv_ext() -> ModuleType:
    """Return mmcv's compiled extension; raises ImportError or OSError where it does not load."""
    return importlib.import_module("mmcv._ext")


@functools.lru_cache(maxsize=None)
def mmcv_serves(device: torch.device) -> bool:
    """Say, once for each device, whether mmcv's op is there and computes right on it.

    A build without the GPU's architecture is only seen by its result: mmcv prints the CUDA error
    and returns zeros.
    """
    try:
        mmcv_ext()
        return _attends_ones(device)
    except (ImportError, OSError, AttributeError, RuntimeError):
        return False


def _attends_ones(device: torch.device) -> bool:
    """Say whether the op returns ones when it looks at ones with weights that sum to one."""
    ones = torch.ones(1, 4, 1, 2, device=device)
    middle = torch.full((1, 1, 1, 1, 1, 2), 0.5, device=device)
    weights = torch.ones(1, 1, 1, 1, 1, device=device)
    with torch.no_grad(), native_talk_on_stderr():
        return bool((ms_deform_attn_mmcv(ones, ((2, 2),), middle, weights) == 1).all())
