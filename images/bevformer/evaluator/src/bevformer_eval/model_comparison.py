"""`compare-models`: the native model and the authors' own, same weights and same input."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from bevformer_eval import golden
from bevformer_eval.data import Sample
from bevformer_eval.data.frames import FrameLoader
from bevformer_eval.data.nuscenes import Dataset
from bevformer_eval.model import BEVFormerTiny, Output
from bevformer_eval.predict import Advance, NativePredictor, Observer, Predictor
from bevformer_eval.results import Boxes

# Inputs are computed twice in float64, by other formulas.
_INPUTS = (1e-9, 1e-9)

Factory = Callable[[Observer], Predictor]


class Seen(NamedTuple):
    """What a predictor made of one sample: its inputs, the raw outputs on the CPU, the boxes."""

    sample: Sample
    output: Output
    boxes: Boxes


def compare_predictors(
    authors: Factory, native: Factory, dataset: Dataset, advance: Advance
) -> List[golden.Row]:
    """Let both evaluate all scenes, and compare every sample's inputs, outputs and detections."""
    expected, found = (_evaluate(factory, dataset, advance) for factory in (authors, native))
    rows = []
    for step, (left, right) in enumerate(zip(found, expected)):
        for name in ("can_bus", "lidar2img"):
            pair = getattr(left.sample, name), getattr(right.sample, name)
            rows.append(golden.compare_array(f"{name} {step}", *pair, _INPUTS))
        rows += golden.compare_step(step, left.output, arrays(step, right))
    return rows


def _evaluate(factory: Factory, dataset: Dataset, advance: Advance) -> List[Seen]:
    seen: List[Seen] = []

    def observe(sample: Sample, output: Output, boxes: Boxes) -> None:
        on_cpu = Output(*(part.detach().float().cpu() for part in output))
        seen.append(Seen(sample, on_cpu, boxes))

    for _ in factory(observe).predict(dataset.scenes, advance):
        pass
    return seen


def arrays(step: int, seen: Seen) -> Dict[str, np.ndarray]:
    """Return what was seen in the form of a golden file."""
    return {
        f"can_bus_{step}": seen.sample.can_bus,
        f"all_cls_scores_{step}": seen.output.cls_scores.numpy(),
        f"all_bbox_preds_{step}": seen.output.bbox_preds.numpy(),
        f"bev_embed_{step}": seen.output.bev.numpy(),
        f"boxes_{step}": seen.boxes.boxes,
        f"scores_{step}": seen.boxes.scores,
        f"labels_{step}": seen.boxes.labels,
    }


def compare_scenes(
    dataset: Dataset,
    state: Mapping[str, Any],
    device: str,
    work_dir: Path,
    advance: Advance,
) -> List[golden.Row]:
    """Compare the two models over the scenes of a dataset, each with its own way to the data."""
    from bevformer_eval.upstream import code
    from bevformer_eval.upstream.predictor import Items, Model, UpstreamPredictor

    def authors(observe: Observer) -> Predictor:
        settings = code.config()
        model = Model(code.build_model(settings, dict(state), device), device)
        items = Items(settings, dataset, work_dir)
        return UpstreamPredictor(model, items, workers=1, observer=observe)

    def native(observe: Observer) -> Predictor:
        model = native_model(state, device)
        loader = FrameLoader(dataset.source, workers=1)
        return NativePredictor(model, device, loader, observer=observe)

    return compare_predictors(authors, native, dataset, advance)


def compare_frame(frame_dir: Path, state: Mapping[str, Any], device: str) -> List[golden.Row]:
    """Compare the two models on a real frame that the vehicle passes in a few steps."""
    from bevformer_eval.upstream.frame import run_frame

    frame = golden.load_frame(frame_dir)
    expected: Dict[str, np.ndarray] = {}
    projections = None
    for step, seen in enumerate(run_frame(frame_dir, motion(), state, device)):
        expected.update(arrays(step, seen))
        projections = seen.sample.lidar2img
    assert projections is not None  # noqa: S101 - motion() has steps
    expected["lidar2img"] = projections
    rows = [golden.compare_array("frame lidar2img", frame.lidar2img, projections, _INPUTS)]
    outputs = golden.run_steps(native_model(state, device), frame, expected)
    for step, output in enumerate(outputs):
        compared = golden.compare_step(step, output, expected)
        rows += [row._replace(name=f"frame {row.name}") for row in compared]
    return rows


def native_model(state: Mapping[str, Any], device: str) -> BEVFormerTiny:
    """Return the native model with these weights on the device."""
    model = BEVFormerTiny().eval()
    model.load_state_dict(state, strict=True)
    return model.to(device)


# Position in metres, heading in degrees: first standing, then a turn to the left across 0 degrees.
_STEPS: Sequence[Tuple[Tuple[float, float, float], float]] = (
    ((600.0, 1000.0, 0.0), 350.0),
    ((603.1, 999.6, 0.1), 356.5),
    ((608.0, 999.9, 0.1), 2.0),
)
_MEASURED = (0.1, -0.2, 9.8, 0.01, -0.02, 0.1, 5.0, 0.1, 0.0)  # acceleration, rotation, velocity


def motion() -> List[np.ndarray]:
    """Return the (18,) CAN bus vectors of the steps in which the real frame is passed."""
    vectors = []
    for position, degrees in _STEPS:
        radians = np.radians(degrees)
        scalar = np.cos(radians / 2)  # of the orientation; upstream feeds it four times
        vectors.append(np.array([*position, *[scalar] * 4, *_MEASURED, radians, degrees]))
    return vectors
