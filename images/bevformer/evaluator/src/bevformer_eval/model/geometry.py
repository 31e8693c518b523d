"""Where BEV cells lie: in the cameras, and in the previous frame's BEV."""

from __future__ import annotations

import math
from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional

from bevformer_eval.data import STRIDE
from bevformer_eval.model.constants import (
    BEV_CELLS,
    BEV_HEIGHT,
    BEV_WIDTH,
    PILLAR_POINTS,
    POINT_CLOUD_RANGE,
)

# The published model was trained and measured with torchvision's rotate about pixel (100, 100),
# the centre of the large models' 200x200 BEV; tiny's 50x50 BEV has its centre at (25, 25). The
# weights have learnt it, so it stays. torchvision counts the centre from the image's middle.
ROTATION_CENTER_X = 100.0 - BEV_WIDTH / 2
ROTATION_CENTER_Y = 100.0 - BEV_HEIGHT / 2

MIN_DEPTH = 1e-5  # metres in front of the camera; below it a point counts as not seen
UNSEEN = -10.0  # a normalised image position that is far outside of every image


def _cell_centers(cells: int) -> Tensor:
    return torch.linspace(0.5, cells - 0.5, cells) / cells


def bev_reference_points() -> Tensor:
    """Return the centres of the BEV cells as (2500, 2), x and y in [0, 1], row by row."""
    xs, ys = _cell_centers(BEV_WIDTH), _cell_centers(BEV_HEIGHT)
    grid = (xs.expand(BEV_HEIGHT, -1), ys[:, None].expand(-1, BEV_WIDTH))
    return torch.stack(grid, -1).view(BEV_CELLS, 2)


def pillar_points() -> Tensor:
    """Return the homogeneous lidar points (4, 4 * 2500) in metres: 4 heights of every BEV cell."""
    low_x, low_y, low_z, high_x, high_y, high_z = POINT_CLOUD_RANGE
    height = high_z - low_z
    zs = torch.linspace(0.5, height - 0.5, PILLAR_POINTS) / height * height + low_z
    plane = bev_reference_points()
    xs = plane[:, 0] * (high_x - low_x) + low_x
    ys = plane[:, 1] * (high_y - low_y) + low_y
    points = torch.ones(4, PILLAR_POINTS, BEV_CELLS)
    points[0], points[1], points[2] = xs, ys, zs[:, None]
    return points.view(4, -1)


def project(
    points: Tensor, lidar2img: Tensor, feature_shape: Tuple[int, int]
) -> Tuple[Tensor, Tensor]:
    """Project `pillar_points` into the cameras by lidar2img of shape (B, 6, 4, 4).

    feature_shape is (height, width) of the images' features, which says how large the images are.
    Returns the image positions (B, 2500, 6, 4, 2), x and y in [0, 1] of the padded image, and which
    cameras see any point of a cell's pillar, as bool (B, 2500, 6). Positions that belong to a
    camera which does not see the cell are replaced by a place outside of the image.
    """
    seen_from = torch.matmul(lidar2img.to(points.dtype), points)
    batch, cameras = lidar2img.shape[:2]
    height, width = feature_shape
    homogeneous = seen_from.view(batch, cameras, 4, PILLAR_POINTS, BEV_CELLS)
    depth = homogeneous[:, :, 2]
    scale = depth.clamp(min=MIN_DEPTH)
    u = homogeneous[:, :, 0] / scale / (STRIDE * width)
    v = homogeneous[:, :, 1] / scale / (STRIDE * height)
    inside = (depth > MIN_DEPTH) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
    positions = torch.stack((u, v), -1).permute(0, 3, 1, 2, 4)
    hits = inside.any(2).permute(0, 2, 1)
    return positions.masked_fill(~hits[..., None, None], UNSEEN), hits


def ego_shift(can_bus: Tensor) -> Tensor:
    """Return the ego motion since the previous frame as (B, 2): x and y in BEV widths and heights.

    can_bus is (B, 18): metres moved in 0 and 1, the heading in radians in the last but one.
    """
    motion = can_bus.double()
    delta_x, delta_y, heading = motion[:, 0], motion[:, 1], motion[:, -2]
    length = torch.sqrt(delta_x**2 + delta_y**2)
    angle = heading - torch.atan2(delta_y, delta_x)
    low_x, low_y, _, high_x, high_y, _ = POINT_CLOUD_RANGE
    shift_x = length * torch.sin(angle) / (high_x - low_x)
    shift_y = length * torch.cos(angle) / (high_y - low_y)
    return torch.stack((shift_x, shift_y), -1).float()


def rotation_grid_base() -> Tensor:
    """Return the homogeneous pixel centres (2500, 3) of the BEV, counted from its middle."""
    xs = torch.arange(BEV_WIDTH) + (0.5 - BEV_WIDTH / 2)
    ys = torch.arange(BEV_HEIGHT) + (0.5 - BEV_HEIGHT / 2)
    grid = (xs.expand(BEV_HEIGHT, -1), ys[:, None].expand(-1, BEV_WIDTH))
    return torch.stack((*grid, torch.ones(BEV_HEIGHT, BEV_WIDTH)), -1).view(BEV_CELLS, 3)


def bev_half_size() -> Tensor:
    """Return half of the BEV's width and height in cells, (2,)."""
    return torch.tensor([0.5 * BEV_WIDTH, 0.5 * BEV_HEIGHT])


def rotate_bev(bev: Tensor, degrees: Tensor, base: Tensor, half_size: Tensor) -> Tensor:
    """Turn each BEV (B, 2500, 256) by its angle in degrees (B,), as torchvision's rotate does.

    Nearest neighbour, zeros from outside, about the centre above. base is `rotation_grid_base()`
    and half_size `bev_half_size()`, kept by the caller on its device: this is captured in a graph.
    The matrix is made in float64 and the grid by a float32 product, as torchvision 0.10 to 0.25 do:
    a cell whose source lies midway between two cells falls to the same side.
    """
    radians = degrees.double() * (-math.pi / 180)
    cos, sin = torch.cos(radians), torch.sin(radians)
    offset_x = ROTATION_CENTER_X - cos * ROTATION_CENTER_X - sin * ROTATION_CENTER_Y
    offset_y = ROTATION_CENTER_Y + sin * ROTATION_CENTER_X - cos * ROTATION_CENTER_Y
    matrix = torch.stack((cos, sin, offset_x, -sin, cos, offset_y), -1).to(bev.dtype).view(-1, 2, 3)
    grid = base.expand(len(bev), -1, -1).bmm(matrix.transpose(1, 2) / half_size)
    planes = bev.transpose(1, 2).reshape(len(bev), -1, BEV_HEIGHT, BEV_WIDTH)
    turned = functional.grid_sample(
        planes,
        grid.view(-1, BEV_HEIGHT, BEV_WIDTH, 2),
        mode="nearest",
        padding_mode="zeros",
        align_corners=False,
    )
    return turned.flatten(2).transpose(1, 2)
