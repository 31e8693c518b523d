"""Seeded scenes in the true nuScenes schema, the same bytes on every machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Sequence

import cv2
import numpy as np

from bevformer_eval.data.synthetic import tables as schema
from bevformer_eval.data.synthetic.exact import draw
from bevformer_eval.data.synthetic.render import jpeg
from bevformer_eval.data.synthetic.world import CHANNELS, Scene
from bevformer_eval.errors import UsageError

MINI_VAL = ("scene-0103", "scene-0916")


def write_scenes(root: Path, seed: int = 0, scenes: int = 2, samples: int = 3) -> str:
    """Write `scenes` scenes of `samples` samples below `root`, and return their nuScenes version.

    Up to two scenes are the mini_val split of v1.0-mini; more are the first scenes of the val split
    of v1.0-trainval.
    """
    if scenes < 1 or samples < 1:
        raise UsageError("synthetic data needs at least one scene and one sample")
    names = _scene_names(scenes)
    version = "v1.0-mini" if scenes <= len(MINI_VAL) else "v1.0-trainval"
    tables = schema.empty_tables()
    for name in names:
        scene = Scene(seed, name, samples)
        schema.add_scene(tables, scene)
        _write_sensors(root, scene)
        _write_json(root / "can_bus" / f"{name}_pose.json", schema.can_bus_pose(scene))
    for name, rows in tables.items():
        _write_json(root / version / f"{name}.json", rows)
    _write(root / str(tables["map"][0]["filename"]), _map_mask())
    return version


def _scene_names(count: int) -> Sequence[str]:
    if count <= len(MINI_VAL):
        return MINI_VAL[:count]
    from nuscenes.utils.splits import val

    if count > len(val):
        raise UsageError(f"nuScenes val has {len(val)} scenes; {count} synthetic scenes asked for")
    return sorted(val)[:count]


def _write_sensors(root: Path, scene: Scene) -> None:
    for index in range(scene.samples):
        _write(root / schema.file_name(scene, "LIDAR_TOP", index), schema.lidar_sweep(scene, index))
        for channel in CHANNELS[1:]:
            tick = schema.sensor_tick(scene, channel, index)
            things = [(t, t.pose(tick)) for t in scene.things if scene.visible(t, index)]
            noise = draw(0, 10**9, scene.seed, scene.name, channel, index)
            image = jpeg(scene.cameras[channel], scene.path[tick], things, noise)
            _write(root / schema.file_name(scene, channel, index), image)


def _map_mask() -> bytes:
    ok, data = cv2.imencode(".png", np.zeros((8, 8), np.uint8))
    if not ok:
        raise RuntimeError("OpenCV cannot encode PNG")
    return bytes(data.tobytes())


def _write_json(path: Path, value: object) -> None:
    _write(path, json.dumps(value, indent=0).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def file_list(root: Path) -> List[Path]:
    """Return every file below `root`, sorted."""
    return sorted(path for path in root.rglob("*") if path.is_file())
