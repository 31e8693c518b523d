"""Renders what one synthetic camera sees: a chequered ground, a sky, and shaded boxes.

Pixels are chosen with integer arithmetic, and with single float64 operations that IEEE 754 rounds
correctly, so that the bytes are the same under every numpy, OpenCV and CPU.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import cv2
import numpy as np

from bevformer_eval.data.synthetic.exact import Pose, Vector, draw
from bevformer_eval.data.synthetic.world import IMAGE_SIZE, Camera, Thing

_NEAR = 0.5  # metres; what is nearer to the camera is cut off
_QUALITY = 90
_STEP = 2  # the background is computed for every second pixel
_COLOURS = {  # BGR, by the head of the category name
    "vehicle.car": (60, 90, 200),
    "vehicle.truck": (200, 120, 40),
    "vehicle.bus.rigid": (40, 180, 230),
    "vehicle.trailer": (150, 150, 90),
    "vehicle.construction": (30, 160, 240),
    "human.pedestrian.adult": (180, 60, 180),
    "vehicle.motorcycle": (90, 40, 120),
    "vehicle.bicycle": (70, 170, 60),
    "movable_object.trafficcone": (20, 110, 240),
    "movable_object.barrier": (210, 210, 220),
    "movable_object.debris": (60, 70, 80),
}
# The corners of a box, and its six faces as corner numbers, outward by the right-hand rule; shade
# in 1/256.
_CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
_FACES = (
    ((4, 6, 7, 5), 256),  # front, +x
    ((0, 1, 3, 2), 150),  # back
    ((2, 3, 7, 6), 205),  # left, +y
    ((0, 4, 5, 1), 175),  # right
    ((1, 5, 7, 3), 235),  # top
    ((0, 2, 6, 4), 100),  # bottom
)


def jpeg(camera: Camera, ego: Pose, things: Sequence[Tuple[Thing, Pose]], seed: int) -> bytes:
    """Return the JPEG (1600x900, 4:2:0) that `camera` takes from the vehicle at `ego`."""
    eye = ego.compose(camera.mount)
    image = _background(camera, eye)
    by_distance = sorted(
        things, key=lambda item: (-_square(eye.invert(item[1].translation)), item[0].name)
    )
    for thing, pose in by_distance:
        _draw_box(image, camera, eye, (thing, pose))
    _add_noise(image, seed)
    ok, data = cv2.imencode(".jpg", image, [int(cv2.IMWRITE_JPEG_QUALITY), _QUALITY])
    if not ok:
        raise RuntimeError("OpenCV cannot encode JPEG")
    return bytes(data.tobytes())


def _square(v: Vector) -> float:
    return v[0] * v[0] + v[1] * v[1] + v[2] * v[2]


def _background(camera: Camera, eye: Pose) -> np.ndarray:
    """Return the sky and a ground of 4 m squares of the global frame, uint8 (900, 1600, 3)."""
    width, height = IMAGE_SIZE
    x = ((np.arange(0, width, _STEP) - camera.centre[0]) / float(camera.focal))[None, :]
    y = ((np.arange(0, height, _STEP) - camera.centre[1]) / float(camera.focal))[:, None]
    ray = [row[0] * x + row[1] * y + row[2] for row in eye.rows]
    falls = ray[2] < -1e-3
    scale = eye.translation[2] / np.where(falls, -ray[2], 1.0)
    east = np.floor((eye.translation[0] + scale * ray[0]) / 4.0).astype(np.int64)
    north = np.floor((eye.translation[1] + scale * ray[1]) / 4.0).astype(np.int64)
    ground = 84 + 24 * ((east + north) & 1) + 9 * ((east * 7 + north * 13) & 3)
    rise = np.clip(np.floor(ray[2] * 256.0).astype(np.int64), 0, 127)
    small = np.empty((*falls.shape, 3), np.uint8)
    for channel, (base, slope) in enumerate(((235, 0), (205, 60), (190, 90))):
        small[..., channel] = np.where(falls, ground, base - rise * slope // 128)
    return np.repeat(np.repeat(small, _STEP, axis=0), _STEP, axis=1)


def _draw_box(image: np.ndarray, camera: Camera, eye: Pose, item: Tuple[Thing, Pose]) -> None:
    thing, pose = item
    width, length, height = thing.size
    half = (length / 2.0, width / 2.0, height / 2.0)
    corners = [
        eye.invert(pose.apply((sx * half[0], sy * half[1], sz * half[2])))
        for sx, sy, sz in _CORNERS
    ]
    if all(corner[2] < _NEAR for corner in corners):
        return
    for face, shade in _FACES:
        outline = [corners[number] for number in face]
        if not _faces_camera(outline):
            continue
        colour = [c * shade // 256 for c in _COLOURS[thing.kind.category]]
        _fill(image, _project(_clip_near(outline), camera), colour)


def _faces_camera(outline: Sequence[Vector]) -> bool:
    """Say whether the camera, at the origin, is on the outer side of the face."""
    a, b, c = outline[:3]
    u = (b[0] - a[0], b[1] - a[1], b[2] - a[2])
    v = (c[0] - a[0], c[1] - a[1], c[2] - a[2])
    normal = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    return normal[0] * a[0] + normal[1] * a[1] + normal[2] * a[2] < 0


def _clip_near(outline: Sequence[Vector]) -> List[Vector]:
    """Cut a polygon off at the near plane (Sutherland and Hodgman)."""
    kept: List[Vector] = []
    for here, following in zip(outline, [*outline[1:], outline[0]]):
        if here[2] >= _NEAR:
            kept.append(here)
        if (here[2] >= _NEAR) != (following[2] >= _NEAR):
            part = (_NEAR - here[2]) / (following[2] - here[2])
            x, y = (here[k] + part * (following[k] - here[k]) for k in (0, 1))
            kept.append((x, y, _NEAR))
    return kept


def _project(outline: Sequence[Vector], camera: Camera) -> List[Tuple[int, int]]:
    return [
        (
            int(np.floor(camera.focal * x / z + camera.centre[0] + 0.5)),
            int(np.floor(camera.focal * y / z + camera.centre[1] + 0.5)),
        )
        for x, y, z in outline
    ]


def _fill(image: np.ndarray, outline: Sequence[Tuple[int, int]], colour: Sequence[int]) -> None:
    """Fill a convex polygon, counter-clockwise on the screen, with one colour."""
    if len(outline) < 3:
        return
    height, width = image.shape[:2]
    left, right = (f(p[0] for p in outline) for f in (min, max))
    top, bottom = (f(p[1] for p in outline) for f in (min, max))
    left, right, top, bottom = (
        max(left, 0),
        min(right, width - 1),
        max(top, 0),
        min(bottom, height - 1),
    )
    if left > right or top > bottom:
        return
    x = np.arange(left, right + 1, dtype=np.int64)[None, :]
    y = np.arange(top, bottom + 1, dtype=np.int64)[:, None]
    inside = np.ones((y.shape[0], x.shape[1]), bool)
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]]):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) <= 0
    image[top : bottom + 1, left : right + 1][inside] = colour


def _add_noise(image: np.ndarray, seed: int) -> None:
    """Add a fixed texture of 0 to 7 grey levels, shifted by the seed; no colour is above 240."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.uint64)[None, :] + np.uint64(draw(0, 9999, seed, "noise x"))
    y = np.arange(height, dtype=np.uint64)[:, None] + np.uint64(draw(0, 9999, seed, "noise y"))
    mixed = x * np.uint64(73856093) ^ y * np.uint64(19349663)
    image += ((mixed >> np.uint64(7)) & np.uint64(7)).astype(np.uint8)[..., None]
