"""A real frame, given as mmdetection3d's info of one sample, through upstream's test pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence

import numpy as np

from bevformer_eval.data import CAMERAS, RigidTransform, Sample
from bevformer_eval.model import Output
from bevformer_eval.model_comparison import Seen
from bevformer_eval.upstream import code
from bevformer_eval.upstream.predictor import Model

_NOWHERE = RigidTransform((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
_LISTS = ("img", "bbox3d", "pts_mask", "pts_seg", "bbox", "mask", "seg")  # `*_fields` of an info


def run_frame(
    frame_dir: Path, can_buses: Sequence[np.ndarray], state: Mapping[str, Any], device: str
) -> Iterator[Seen]:
    """Yield what upstream makes of the frame at each CAN bus vector, one after the other.

    `frame.json` and its images must have been read before: nothing of them is checked here.
    """
    settings = code.config()
    model = Model(code.build_model(settings, dict(state), device), device)
    with code.quiet():
        from mmdet3d.datasets.pipelines import Compose

        pipeline = Compose(settings.data.test.pipeline)
    for step, can_bus in enumerate(can_buses):
        with code.quiet():
            item = pipeline(_info(frame_dir, step, can_bus.copy()))
        frame = model(item)
        output = Output(*(part.float().cpu() for part in frame.output))
        yield Seen(_sample(step, frame.can_bus, frame.lidar2img), output, frame.boxes)


def _info(frame_dir: Path, step: int, can_bus: np.ndarray) -> Dict[str, Any]:
    """Return what upstream's dataset hands to the pipeline."""
    from mmdet3d.core.bbox import get_box_type

    text = (frame_dir / "frame.json").read_text(encoding="utf-8")
    cameras = [json.loads(text)["images"][camera] for camera in CAMERAS]
    kind, mode = get_box_type("LiDAR")
    return {
        "sample_idx": f"step {step}",
        "scene_token": "frame",
        "pts_filename": "",
        "can_bus": can_bus,
        "img_filename": [str(frame_dir / camera["img_path"]) for camera in cameras],
        "lidar2img": _projections(cameras),
        "box_type_3d": kind,
        "box_mode_3d": mode,
        **{f"{name}_fields": [] for name in _LISTS},
    }


def _projections(cameras: Sequence[Mapping[str, Any]]) -> List[np.ndarray]:
    found = []
    for camera in cameras:
        pinhole = np.eye(4)
        pinhole[:3, :3] = np.array(camera["cam2img"])[:3, :3]
        found.append(pinhole @ np.array(camera["lidar2cam"]))
    return found


def _sample(step: int, can_bus: np.ndarray, lidar2img: np.ndarray) -> Sample:
    return Sample(
        token=f"step {step}",
        scene_token="frame",  # noqa: S106 - nuScenes' word
        scene_name="frame",
        timestamp=step,
        prev="",
        images={},
        lidar2img=lidar2img,
        can_bus=can_bus,
        ego2global=_NOWHERE,
        lidar2ego=_NOWHERE,
    )
