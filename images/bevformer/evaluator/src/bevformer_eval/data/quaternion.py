"""Rotations as nuScenes writes them: unit quaternions w, x, y, z."""

from __future__ import annotations

from typing import Tuple

Quaternion = Tuple[float, float, float, float]


def product(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation that applies `b` first and `a` second.

    Plain floats, and only operations that IEEE 754 rounds correctly: synthetic scenes are made with
    it, the same bytes everywhere.
    """
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
