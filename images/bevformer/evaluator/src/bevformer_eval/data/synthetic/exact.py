"""Arithmetic that gives the same bits on every machine, Python and libm.

Golden detections are made from the rendered images, so not one pixel may differ between hosts. Only
operations that IEEE 754 rounds correctly are used (+ - * / and the square root), in pure Python
floats: no sine, no fused multiply-add, no BLAS. Rotations are therefore built from integer
quaternions.
"""

from __future__ import annotations

import hashlib
import math
from typing import Sequence, Tuple

from bevformer_eval.data.quaternion import Quaternion, product

Vector = Tuple[float, float, float]
Matrix = Tuple[Vector, Vector, Vector]

IDENTITY: Quaternion = (1.0, 0.0, 0.0, 0.0)


def digest(*labels: object) -> bytes:
    """Return 32 bytes that depend on the labels alone."""
    return hashlib.sha256(":".join(str(label) for label in labels).encode()).digest()


def token(*labels: object) -> str:
    """Return a nuScenes token, 32 hexadecimal digits, that depends on the labels alone."""
    return digest("token", *labels).hex()[:32]


def draw(low: int, high: int, *labels: object) -> int:
    """Return an integer in [low, high] that depends on the labels alone."""
    return low + int.from_bytes(digest("draw", *labels)[:8], "big") % (high - low + 1)


def unit(w: float, x: float, y: float, z: float) -> Quaternion:
    """Return the quaternion scaled to length 1."""
    length = math.sqrt(w * w + x * x + y * y + z * z)
    return (w / length, x / length, y / length, z / length)


def matrix(q: Quaternion) -> Matrix:
    """Return the 3x3 rotation matrix of a unit quaternion."""
    w, x, y, z = q
    return (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


class Pose:
    """A rigid transform from a local frame to its parent: rotation, then translation in metres."""

    def __init__(self, rotation: Quaternion, translation: Vector) -> None:
        self.rotation = rotation
        self.translation = translation
        self._rows = matrix(rotation)
        self._columns: Matrix = tuple(zip(*self._rows))  # type: ignore[assignment]

    @property
    def rows(self) -> Matrix:
        """The rotation matrix by rows."""
        return self._rows

    def rotate(self, vector: Vector) -> Vector:
        """Turn a direction of the local frame into the parent frame."""
        rows = self._rows
        return (_dot(rows[0], vector), _dot(rows[1], vector), _dot(rows[2], vector))

    def apply(self, point: Vector) -> Vector:
        """Bring a point of the local frame into the parent frame."""
        turned, shift = self.rotate(point), self.translation
        return (turned[0] + shift[0], turned[1] + shift[1], turned[2] + shift[2])

    def invert(self, point: Vector) -> Vector:
        """Bring a point of the parent frame into the local frame."""
        shift = self.translation
        moved = (point[0] - shift[0], point[1] - shift[1], point[2] - shift[2])
        columns = self._columns
        return (_dot(columns[0], moved), _dot(columns[1], moved), _dot(columns[2], moved))

    def compose(self, inner: Pose) -> Pose:
        """Return the transform that applies `inner` first and this one second."""
        return Pose(product(self.rotation, inner.rotation), self.apply(inner.translation))
