"""What the sections of bench_gpu.py share: their setting, their data, and a clock."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch

from bevformer_eval.data import CAMERAS, RigidTransform, Sample
from bevformer_eval.data.nuscenes import Scene
from bevformer_eval.data.source import DirectorySource, Source
from bevformer_eval.data.synthetic import write_scenes
from bevformer_eval.golden_scenes import golden_file

Result = Dict[str, Any]
Golden = Mapping[str, np.ndarray]
UNMOVED = RigidTransform((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))


class Setting(NamedTuple):
    """What all sections share."""

    device: str
    batches: List[int]
    workers: int
    scratch: Path
    data: Path
    state: Mapping[str, torch.Tensor]


def guarded(action: Callable[[], Result]) -> Result:
    """Return the action's result, or its error as one."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - the other results are worth having
        return {"error": repr(error), "trace": traceback.format_exc()[-3000:]}


def milliseconds(action: Callable[[], object], device: str, least: float = 0.3) -> float:
    """Return the mean time of an action on the device, over at least `least` seconds."""
    if not device.startswith("cuda"):
        start = time.perf_counter()
        action()
        return (time.perf_counter() - start) * 1e3
    for _ in range(2):
        action()
    torch.cuda.synchronize()
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < least:
        for _ in range(5):
            action()
        torch.cuda.synchronize()
        count += 5
    return (time.perf_counter() - begin) / count * 1e3


def golden_scenes(setting: Setting) -> Tuple[List[Scene], Source, Golden]:
    """Return the synthetic scenes of the golden file, their source and the golden arrays."""
    root = setting.scratch / "nuscenes"
    if not root.exists():
        write_scenes(root)
    with np.load(str(golden_file(0)), allow_pickle=False) as file:
        expected = {name: file[name] for name in file.files}
    rows = json.loads((root / "v1.0-mini" / "sample_data.json").read_text(encoding="utf-8"))
    images: Dict[str, Dict[str, str]] = {}
    for row in rows:
        channel = row["filename"].split("/")[1]
        if row["is_key_frame"] and channel in CAMERAS:
            images.setdefault(row["sample_token"], {})[channel] = row["filename"]
    scenes: Dict[str, Scene] = {}
    for index, (token, scene) in enumerate(
        zip(expected["tokens"].tolist(), expected["scene_tokens"].tolist())
    ):
        matrices = (expected[f"lidar2img_{index}"], expected[f"can_bus_{index}"])
        sample = Sample(token, scene, scene, index, "", images[token], *matrices, UNMOVED, UNMOVED)
        scenes.setdefault(scene, Scene(scene, scene, [])).samples.append(sample)
    return list(scenes.values()), DirectorySource(root), expected


def image_sets(setting: Setting) -> Dict[str, List[Path]]:
    """Return the JPEG files to decode: synthetic ones, and real ones where there are any."""
    golden_scenes(setting)
    sets = {"synthetic": sorted((setting.scratch / "nuscenes" / "samples").glob("CAM_*/*.jpg"))}
    real = sorted((setting.data / "nuscenes_frame").glob("*.jpg"))
    return {**sets, "real": real} if real else sets


def long_scenes(sample: Sample, count: int, files: Sequence[Path]) -> List[Scene]:
    """Return scenes of 40 samples, all with the calibration of one, over the given images."""
    numbers = itertools.count()
    scenes = []
    for scene in range(count):
        samples = []
        for _ in range(40):
            images = {camera: str(next(numbers) % len(files)) for camera in CAMERAS}
            samples.append(dataclasses.replace(sample, images=images))
        scenes.append(Scene(f"{scene}", f"{scene}", samples))
    return scenes


class Files:
    """Gives files by their number."""

    def __init__(self, source: Source, files: Sequence[Path]) -> None:
        self.name, self._source, self._files = "files", source, files

    def open(self, path: str) -> Any:
        return self._files[int(path)].open("rb")
