"""The native model: its names, its geometry, batches of scenes, and the coder."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Dict, List, Optional

import pytest
import torch
from torch import Tensor

from bevformer_eval.data import CAMERAS
from bevformer_eval.model import BEVFormerTiny, Output, decode, geometry
from bevformer_eval.model.constants import BEV_CELLS, BEV_WIDTH, EMBED_DIMS, MAX_DETECTIONS
from bevformer_eval.model.head import BEVFormerHead
from bevformer_eval.weights import model_shapes, seeded_state_dict

# sha256 of the published checkpoint's names and shapes as sorted JSON.
NAMES_SHA256 = "90d2fd092114022c47dea4a56f4ed3cc8daa75cf63898c5dfd865bb895a6441e"


def test_the_model_has_the_checkpoints_643_names_and_shapes() -> None:
    shapes = {key: list(shape) for key, shape in model_shapes().items()}
    text = json.dumps(shapes, sort_keys=True)
    assert len(shapes) == 643
    assert hashlib.sha256(text.encode()).hexdigest() == NAMES_SHA256


# Rotation


def _image(cells: Dict[int, float]) -> Tensor:
    bev = torch.zeros(1, BEV_CELLS, 1)
    for cell, value in cells.items():
        bev[0, cell, 0] = value
    return bev


def _rotate(bev: Tensor, degrees: List[float]) -> Tensor:
    base, half_size = geometry.rotation_grid_base(), geometry.bev_half_size()
    return geometry.rotate_bev(bev, torch.tensor(degrees), base, half_size)


def test_no_rotation_changes_nothing() -> None:
    bev = torch.randn(2, BEV_CELLS, 3)
    assert torch.equal(_rotate(bev, [0.0, 0.0]), bev)


def test_a_quarter_turn_about_pixel_100_leaves_the_bev() -> None:
    assert not _rotate(torch.ones(1, BEV_CELLS, 1), [90.0]).any()


def test_a_small_turn_moves_the_whole_bev_about_pixel_100() -> None:
    # One degree about (100, 100) moves the BEV's middle by 75 * sin(1 degree) = 1.3 cells each way.
    turned = _rotate(_image({25 * BEV_WIDTH + 25: 1.0}), [1.0])
    assert turned[0, :, 0].nonzero().flatten().tolist() == [26 * BEV_WIDTH + 24]


@pytest.mark.parametrize("degrees", [-179.0, -30.0, -2.5, -0.01, 0.3, 1.0, 2.5, 5.0, 45.0, 359.7])
def test_the_rotation_equals_torchvisions(degrees: float) -> None:
    transforms = pytest.importorskip("torchvision.transforms.functional")
    bev = torch.randn(1, BEV_CELLS, 4)
    image = bev[0].view(BEV_WIDTH, BEV_WIDTH, 4).permute(2, 0, 1)
    expected = transforms.rotate(image, degrees, center=[100, 100])
    assert torch.equal(_rotate(bev, [degrees])[0], expected.permute(1, 2, 0).reshape(BEV_CELLS, 4))


# Motion and projection

MOTIONS = {
    "standing": (0.0, 0.0, 1.0, (0.0, 0.0)),
    "forward": (10.24, 0.0, 0.0, (0.0, 0.1)),
    "forward, heading along y": (0.0, 10.24, math.pi / 2, (0.0, 0.1)),
    "sideways": (0.0, 10.24, 0.0, (-0.1, 0.0)),
    "backward": (-10.24, 0.0, 0.0, (0.0, -0.1)),
}


@pytest.mark.parametrize(("x", "y", "heading", "shift"), MOTIONS.values(), ids=list(MOTIONS))
def test_the_shift_is_the_motion_seen_from_the_heading(
    x: float, y: float, heading: float, shift: tuple
) -> None:
    can_bus = torch.zeros(1, 18, dtype=torch.float64)
    can_bus[0, 0], can_bus[0, 1], can_bus[0, -2] = x, y, heading
    assert geometry.ego_shift(can_bus)[0].tolist() == pytest.approx(shift, abs=1e-7)


def _camera_ahead() -> Tensor:
    """Return six cameras of which only the first sees anything: along +x, 800x480 pixels."""
    camera = torch.tensor([[400.0, -400.0, 0, 0], [240, 0, -400.0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    behind = torch.tensor([[0.0] * 4, [0.0] * 4, [0, 0, 0, -1.0], [0.0] * 4])
    return torch.stack([camera, *[behind] * 5])[None].double()


def test_a_pillar_is_seen_where_any_of_its_points_is() -> None:
    points = geometry.pillar_points()
    positions, hits = geometry.project(points, _camera_ahead(), (15, 25))
    middle = 25 * BEV_WIDTH
    ahead, behind = middle + 40, middle + 10
    assert hits[0, ahead].tolist() == [True] + [False] * 5
    assert not hits[0, behind].any()
    x, y, z = points[:3, 2 * BEV_CELLS + ahead].tolist()
    expected = [(400 * x - 400 * y) / x / 800, (240 * x - 400 * z) / x / 480]
    assert positions[0, ahead, 0, 2].tolist() == pytest.approx(expected, rel=1e-5)
    assert bool((positions[0, behind] == geometry.UNSEEN).all())


def test_a_position_is_a_share_of_the_padded_image() -> None:
    """45 of 64 rows and 80 of 96 columns hold the picture where it is scaled by 0.05."""
    points = geometry.pillar_points()
    small = torch.diag(torch.tensor([0.1, 0.1, 1, 1])).double() @ _camera_ahead()
    found, small_hits = geometry.project(points, small, (2, 3))
    whole, hits = geometry.project(points, _camera_ahead(), (15, 25))
    seen = (hits & small_hits)[0, :, 0]
    factor = torch.tensor([80 / 96, 48 / 64])
    assert int(seen.sum()) > 100
    assert torch.allclose(found[0, seen, 0], whole[0, seen, 0] * factor, atol=1e-5)


# Batches


def _frame(generator: torch.Generator, *, previous: bool) -> Dict[str, Optional[Tensor]]:
    can_bus = torch.randn(1, 18, generator=generator).double()
    return {
        "features": torch.randn(1, len(CAMERAS), EMBED_DIMS, 15, 25, generator=generator),
        "lidar2img": 100 * torch.randn(1, len(CAMERAS), 4, 4, generator=generator),
        "can_bus": can_bus,
        "bev": torch.randn(1, BEV_CELLS, EMBED_DIMS, generator=generator) if previous else None,
    }


def _run(head: BEVFormerHead, frames: List[Dict[str, Optional[Tensor]]]) -> Output:
    empty = torch.full((1, BEV_CELLS, EMBED_DIMS), float("nan"))  # must never be looked at
    bev = torch.cat([empty if frame["bev"] is None else frame["bev"] for frame in frames])
    has_prev = torch.tensor([frame["bev"] is not None for frame in frames])
    features, lidar2img, can_bus = (
        torch.cat([frame[name] for frame in frames])
        for name in ("features", "lidar2img", "can_bus")
    )
    with torch.no_grad():
        return head(features, lidar2img, head.history(can_bus, bev, has_prev))


def test_a_batch_of_scenes_equals_each_scene_alone() -> None:
    prefix = "pts_bbox_head."
    state = seeded_state_dict(3, {k: v for k, v in model_shapes().items() if k.startswith(prefix)})
    head = BEVFormerHead().eval()
    head.load_state_dict({key[len(prefix) :]: value for key, value in state.items()})
    generator = torch.Generator().manual_seed(0)
    frames = [_frame(generator, previous=previous) for previous in (True, False)]
    together = _run(head, frames)
    alone = [_run(head, [frame]) for frame in frames]
    for part, values in zip(together, zip(*alone)):
        assert torch.allclose(part, torch.cat(values), rtol=1e-4, atol=1e-4)


class _NoBackbone(torch.nn.Module):
    """Spares the images nine tenths of the time."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (3, 480, 800)
        return torch.zeros(len(images), 2048, 15, 25)


@pytest.mark.parametrize("given", [True, False], ids=["has_prev given", "has_prev left out"])
def test_the_whole_model_takes_a_batch(*, given: bool) -> None:
    model = BEVFormerTiny().eval()
    model.img_backbone = _NoBackbone()
    images = torch.zeros(2, 6, 3, 480, 800)
    lidar2img, can_bus = torch.rand(2, 6, 4, 4), torch.zeros(2, 18)
    previous = torch.zeros(2, BEV_CELLS, EMBED_DIMS)
    with torch.no_grad():
        options = {"has_prev": torch.tensor([True, False])} if given else {}
        output = model(images, lidar2img, can_bus, previous, **options)
    shapes = [tuple(part.shape) for part in output]
    assert shapes == [(2, 900, 10), (2, 900, 10), (2, BEV_CELLS, EMBED_DIMS)]


# The coder


def _output(scores: Tensor, codes: Tensor) -> Output:
    return Output(scores[None], codes[None], torch.zeros(1))


def test_detections_are_the_best_scores_with_their_boxes() -> None:
    scores = torch.full((900, 10), -20.0)
    scores[7, 3], scores[9, 1], scores[7, 8] = 2.0, 1.0, 0.0
    codes = torch.zeros(900, 10)
    codes[7] = torch.tensor([1.0, 2.0, 0.5, 1.5, 3.0, math.log(4.0), 1.0, 0.0, 0.25, -0.5])
    (found,) = decode(_output(scores, codes))
    assert found.boxes.shape == (MAX_DETECTIONS, 9)
    assert found.labels[:3].tolist() == [3, 1, 8]
    assert found.scores[:3].tolist() == torch.tensor([2.0, 1.0, 0.0]).sigmoid().tolist()
    half = math.pi / 2
    expected = [1.0, 2.0, 1.0, math.exp(0.5), math.exp(1.5), 4.0, half, 0.25, -0.5]
    assert found.boxes[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("axis", "value", "kept"),
    [(0, 61.1, 300), (0, 61.3, 299), (1, -61.3, 299), (4, 10.1, 299), (4, -9.9, 300)],
    ids=["x inside", "x beyond", "y below", "z beyond", "z inside"],
)
def test_boxes_outside_of_the_range_are_dropped(axis: int, value: float, kept: int) -> None:
    scores = torch.zeros(900, 10)
    scores[5, 0] = 9.0
    codes = torch.zeros(900, 10)
    codes[5, axis] = value
    scores[5, 1:] = -9.0
    (found,) = decode(_output(scores, codes))
    assert len(found.boxes) == len(found.scores) == len(found.labels) == kept
