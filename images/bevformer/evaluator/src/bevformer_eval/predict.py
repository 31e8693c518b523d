"""Predictors: they turn the samples of scenes into boxes, with the temporal state by scene."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple

import numpy as np

from bevformer_eval.data import Sample
from bevformer_eval.data.frames import Frame, FrameLoader
from bevformer_eval.data.nuscenes import Scene
from bevformer_eval.errors import EvalError, HostError
from bevformer_eval.ground_truth import GroundTruth
from bevformer_eval.results import Boxes

Advance = Callable[[], None]


@dataclass
class SceneResult:
    """The boxes of a scene's samples in order, and the seconds that each step took."""

    scene: Scene
    boxes: List[Boxes]
    seconds: Dict[str, float] = field(
        default_factory=lambda: {"load": 0.0, "forward": 0.0, "decode": 0.0}
    )


class Predictor(Protocol):
    """Yields the results of scenes, in any order; calls `advance` after each sample."""

    def predict(self, scenes: Sequence[Scene], advance: Advance) -> Iterator[SceneResult]:
        """Evaluate the scenes."""
        ...


class EgoMotion:
    """Turns CAN bus vectors into differences of two frames, as upstream's forward_test does.

    Only the position (metres, global frame) and the heading in degrees become differences; the
    heading in radians, the orientation and the rest stay absolute. The first frame of a scene has
    no shift.
    """

    def __init__(self) -> None:
        self._position: Optional[np.ndarray] = None
        self._degrees = 0.0

    def step(self, sample: Sample) -> Tuple[np.ndarray, bool]:
        """Return the (18,) vector for the model, and whether the scene has a previous frame."""
        vector = sample.can_bus.copy()
        position, degrees = vector[:3].copy(), float(vector[-1])
        has_previous = self._position is not None
        vector[:3] = position - self._position if has_previous else 0.0
        vector[-1] = degrees - self._degrees if has_previous else 0.0
        self._position, self._degrees = position, degrees
        return vector, has_previous


class GroundTruthPredictor:
    """Gives the annotated boxes as predictions: proves the evaluation apart from the weights."""

    def __init__(self, truth: GroundTruth) -> None:
        self._truth = truth

    def predict(self, scenes: Sequence[Scene], advance: Advance) -> Iterator[SceneResult]:
        """Yield the annotations of each scene."""
        for scene in scenes:
            boxes = []
            for sample in scene.samples:
                boxes.append(self._truth.boxes(sample))
                advance()
            yield SceneResult(scene, boxes)


Observer = Callable[[Sample, Any, Boxes], None]  # the sample, the model's Output, the boxes


class NativePredictor:
    """The native model, one frame at a time; `loader` has the images ready before."""

    def __init__(
        self,
        model: Any,  # BEVFormerTiny; torch is imported late
        device: str,
        loader: FrameLoader,
        *,
        observer: Optional[Observer] = None,
    ) -> None:
        self._model, self._device = model, device
        self._loader, self._observer = loader, observer

    def predict(self, scenes: Sequence[Scene], advance: Advance) -> Iterator[SceneResult]:
        """Yield the detections of each scene."""
        samples = [sample for scene in scenes for sample in scene.samples]
        with closing(self._loader.frames(samples)) as loaded:
            for scene in scenes:
                result, motion, previous = SceneResult(scene, []), EgoMotion(), None
                for sample in scene.samples:
                    frame = next(loaded)
                    result.seconds["load"] += frame.seconds
                    can_bus, _ = motion.step(sample)
                    previous = self._evaluate(sample, (frame, can_bus, previous), result)
                    advance()
                yield result

    def _evaluate(
        self, sample: Sample, inputs: Tuple[Frame, np.ndarray, Any], result: SceneResult
    ) -> Any:
        """Evaluate one frame, append its boxes to the result, and return its BEV."""
        import torch

        frame, can_bus, previous = inputs
        start = time.perf_counter()
        with gpu_errors(), torch.no_grad():
            output = self._model(
                torch.from_numpy(frame.images)[None].to(self._device),
                torch.from_numpy(frame.lidar2img)[None].to(self._device),
                torch.from_numpy(can_bus)[None].to(self._device),
                previous,
            )
            if self._device.startswith("cuda"):
                torch.cuda.synchronize(self._device)
            middle = time.perf_counter()
            check_finite(sample, output.cls_scores.cpu().numpy(), output.bbox_preds.cpu().numpy())
            boxes = decoded(output)[0]
        result.boxes.append(boxes)
        result.seconds["forward"] += middle - start
        result.seconds["decode"] += time.perf_counter() - middle
        if self._observer is not None:
            self._observer(sample, output, boxes)
        return output.bev


def check_finite(sample: Sample, *numbers: np.ndarray) -> None:
    """Raise EvalError where the model returned NaN or infinity: decoding would drop such a box."""
    if not all(np.isfinite(part).all() for part in numbers):
        raise EvalError(
            f"sample {sample.token} of {sample.scene_name}: the model returned NaN or infinity",
            "compare the checkpoint's sha256, check the op with `bevformer-eval check-ops`, or run "
            "with --precision float32",
        )


def decoded(output: Any) -> List[Boxes]:
    """Return the boxes of each frame of a model output as numpy arrays."""
    from bevformer_eval.model import decode

    return [Boxes(*(part.cpu().numpy() for part in found)) for found in decode(output)]


class gpu_errors:  # noqa: N801 - reads as a statement, like contextlib.suppress
    """Turn what CUDA reports into a HostError that says what to do."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        if isinstance(error, RuntimeError):
            text = str(error)
            line = text.splitlines()[0] if text else type(error).__name__
            if "out of memory" in text:
                hint = "free the GPU (see nvidia-smi), lower --batch, or choose another --device"
                raise HostError(f"the GPU is out of memory: {line}", hint) from error
            if "no kernel image" in text:
                hint = "choose an image whose architectures include this GPU, or --device cpu"
                raise HostError(f"no kernel of this build runs on the GPU: {line}", hint) from error
            if "CUDA" in text or "cuda" in text or "cuDNN" in text:
                raise HostError(
                    f"CUDA failed: {line}",
                    "check the driver with nvidia-smi, or run with --device cpu",
                ) from error
