"""Draws a sample as one picture: six cameras and the bird's-eye view, with their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np

from bevformer_eval.data import CAMERAS, CLASSES, SCALE, SOURCE_WIDTH, Sample
from bevformer_eval.data.images import load_images
from bevformer_eval.data.nuscenes import Dataset
from bevformer_eval.ground_truth import GroundTruth
from bevformer_eval.output import say, storage_errors
from bevformer_eval.results import Boxes, Detection, headings, lidar_boxes

Colour = Tuple[int, int, int]

_TILE = (640, 360)  # width and height of a camera
_BEV = 2 * _TILE[1]
_REACH = 51.2  # metres from the ego vehicle to the edge of the bird's-eye view
_GRID = (
    "CAM_FRONT_LEFT",
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_LEFT",
    "CAM_BACK",
    "CAM_BACK_RIGHT",
)
_NEAR = 0.2  # metres in front of the camera
_TRUE: Colour = (80, 220, 80)  # BGR
_PREDICTED: Dict[str, Colour] = {
    "car": (0, 140, 255),
    "truck": (60, 80, 255),
    "construction_vehicle": (0, 215, 255),
    "bus": (60, 20, 220),
    "trailer": (130, 60, 255),
    "barrier": (200, 200, 200),
    "motorcycle": (255, 90, 190),
    "bicycle": (255, 80, 80),
    "pedestrian": (255, 170, 60),
    "traffic_cone": (255, 230, 100),
}
# Corners are numbered by (ahead, left, up) as bits 4, 2, 1; an edge joins two that differ in one of
# them.
_EDGES = [(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit]


@dataclass(frozen=True)
class Pictures:
    """Where pictures go, how many (0: all), and the lowest score that is drawn."""

    folder: Path
    count: int
    score: float


def draw_all(
    devkit: object, dataset: Dataset, results: Dict[str, List[Detection]], pictures: Pictures
) -> None:
    """Write SCENE-NUMBER-TOKEN.png for the samples of a dataset."""
    truth = GroundTruth(devkit)
    items = [
        (scene.name, number, s)
        for scene in dataset.scenes
        for number, s in enumerate(scene.samples)
    ]
    items = items[: pictures.count or None]
    with storage_errors(pictures.folder):
        pictures.folder.mkdir(parents=True, exist_ok=True)
        for name, number, sample in items:
            predicted = predictions(sample, results[sample.token], pictures.score)
            picture = draw(
                load_images(dataset.source, sample),
                sample.lidar2img,
                predicted,
                truth.boxes(sample),
            )
            _label(picture, f"{name} #{number}", (8, picture.shape[0] - 10))
            write_png(pictures.folder / f"{name}-{number:02d}-{sample.token}.png", picture)
    say(f"{len(items)} pictures in {pictures.folder}")


def predictions(sample: Sample, detections: Sequence[Detection], lowest: float) -> Boxes:
    """Return submitted detections of at least the score `lowest`, back in the lidar frame."""
    kept = [found for found in detections if _score(found) >= lowest]
    if not kept:
        return Boxes(np.zeros((0, 9)), np.zeros(0), np.zeros(0, np.int64))
    boxes = lidar_boxes(
        sample,
        np.array([f["translation"] for f in kept]),
        np.array([f["size"] for f in kept]),
        headings(np.array([f["rotation"] for f in kept])),
    )
    labels = np.array([CLASSES.index(str(found["detection_name"])) for found in kept])
    return Boxes(boxes, np.array([found["detection_score"] for found in kept]), labels)


def _score(found: Detection) -> float:
    return float(found["detection_score"])  # type: ignore[arg-type]


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a BGR picture; unlike cv2.imwrite, raise OSError where the file cannot be written."""
    ok, data = cv2.imencode(".png", picture)
    if not ok:
        raise RuntimeError("OpenCV cannot encode PNG")
    path.write_bytes(data.tobytes())


def draw(images: np.ndarray, lidar2img: np.ndarray, predicted: Boxes, true: Boxes) -> np.ndarray:
    """Return the picture, uint8 (720, 2640, 3) in BGR.

    images: (6, 900, 1600, 3) in the order of CAMERAS; lidar2img: (6, 4, 4) into the halved images.
    """
    tiles = []
    for name in _GRID:
        index = CAMERAS.index(name)
        tile = cv2.resize(images[index], _TILE, interpolation=cv2.INTER_AREA)
        to_tile = np.diag([_TILE[0] / (SOURCE_WIDTH * SCALE)] * 2 + [1.0, 1.0]) @ lidar2img[index]
        for corners, colour, text in _styled(predicted, true):
            _draw_in_camera(tile, to_tile, corners, colour, text)
        _label(tile, name, (8, 18))
        tiles.append(tile)
    cameras = np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])
    return np.hstack([cameras, _bird_view(predicted, true)])


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return the (n, 8, 3) corners in the lidar frame, numbered as _EDGES wants them."""
    centre, size = boxes[:, :3], boxes[:, 3:6]
    heading = -boxes[:, 6] - np.pi / 2
    bits = np.array([[(c >> 2) & 1, (c >> 1) & 1, c & 1] for c in range(8)])
    ahead = (bits[:, 0] - 0.5) * size[:, 1:2]
    left = (bits[:, 1] - 0.5) * size[:, 0:1]
    up = bits[:, 2] * size[:, 2:3]
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    return np.stack([ahead * cos - left * sin, ahead * sin + left * cos, up], -1) + centre[:, None]


def _styled(predicted: Boxes, true: Boxes) -> List[Tuple[np.ndarray, Colour, str]]:
    """Return corners, colour and caption of every box; the true ones first, to lie below."""
    styled = [(corners, _TRUE, "") for corners in corners_of(np.asarray(true.boxes, np.float64))]
    for corners, score, label in zip(
        corners_of(np.asarray(predicted.boxes, np.float64)), predicted.scores, predicted.labels
    ):
        name = CLASSES[int(label)]
        styled.append((corners, _PREDICTED[name], f"{name} {score:.2f}"))
    return styled


def _draw_in_camera(
    tile: np.ndarray, to_tile: np.ndarray, corners: np.ndarray, colour: Colour, text: str
) -> None:
    seen = np.c_[corners, np.ones(8)] @ to_tile.T
    if (seen[:, 2] < _NEAR).all():
        return
    for a, b in _EDGES:
        ends = _clipped(seen[a, :3], seen[b, :3])
        if ends is not None:
            front = (
                a & 4 and b & 4
            )  # the front face is thicker; true boxes too, to show below predicted ones
            _line(tile, ends[0], ends[1], colour, (1 if text else 2) + (1 if front else 0))
    if text and (seen[:, 2] >= _NEAR).all():
        top = (seen[:, :2] / seen[:, 2:3]).min(0)
        if 0 <= top[0] < tile.shape[1] and 0 <= top[1] < tile.shape[0]:
            _label(tile, text, (int(top[0]), int(top[1]) - 3), colour)


def _clipped(a: np.ndarray, b: np.ndarray) -> Tuple[np.ndarray, np.ndarray] | None:
    """Return the image ends of an edge cut off at the near plane; None if it is behind."""
    if a[2] < _NEAR and b[2] < _NEAR:
        return None
    if a[2] < _NEAR:
        a = a + (b - a) * (_NEAR - a[2]) / (b[2] - a[2])
    elif b[2] < _NEAR:
        b = b + (a - b) * (_NEAR - b[2]) / (a[2] - b[2])
    return a[:2] / a[2], b[:2] / b[2]


def _line(
    picture: np.ndarray, a: np.ndarray, b: np.ndarray, colour: Colour, thickness: int
) -> None:
    """Draw a line whose ends may be so far outside that cv2.line alone would overflow."""
    limit = 20000
    ends = [tuple(int(v) for v in np.clip(end, -limit, limit)) for end in (a, b)]
    inside, first, second = cv2.clipLine(
        (0, 0, picture.shape[1], picture.shape[0]), ends[0], ends[1]
    )
    if inside:
        cv2.line(picture, first, second, colour, thickness, cv2.LINE_AA)


def _bird_view(predicted: Boxes, true: Boxes) -> np.ndarray:
    """Return the view from above: the lidar's y axis (ahead) is up, its x axis is to the right."""
    view = np.full((_BEV, _BEV, 3), 28, np.uint8)
    scale = _BEV / (2 * _REACH)
    for radius in range(10, 60, 10):
        cv2.circle(view, (_BEV // 2, _BEV // 2), int(radius * scale), (60, 60, 60), 1, cv2.LINE_AA)
        _label(
            view,
            f"{radius} m",
            (_BEV // 2 + 3, _BEV // 2 - int(radius * scale) - 2),
            (120, 120, 120),
        )
    cv2.drawMarker(view, (_BEV // 2, _BEV // 2), (255, 255, 255), cv2.MARKER_TRIANGLE_UP, 12, 2)
    for corners, colour, text in _styled(predicted, true):
        base = corners[[0, 4, 6, 2], :2]  # back right, front right, front left, back left
        points = np.stack([_BEV / 2 + base[:, 0] * scale, _BEV / 2 - base[:, 1] * scale], -1)
        for a, b in zip(points, np.roll(points, -1, axis=0)):
            _line(view, a, b, colour, 1 if text else 3)
        _line(view, points.mean(0), (points[1] + points[2]) / 2, colour, 2)
    _label(view, "true", (8, 18), _TRUE)
    for row, (name, colour) in enumerate(_PREDICTED.items()):
        _label(view, name, (8, 36 + 15 * row), colour)
    return view


def _label(
    picture: np.ndarray, text: str, at: Tuple[int, int], colour: Colour = (255, 255, 255)
) -> None:
    for shade, thickness in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(
            picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, shade, thickness, cv2.LINE_AA
        )
