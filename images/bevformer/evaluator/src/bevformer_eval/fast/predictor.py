"""Scenes side by side: each slot of the batch works through a scene, images are decoded ahead."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor

from bevformer_eval.data import CAMERAS, Sample
from bevformer_eval.data.images import decode, read
from bevformer_eval.data.nuscenes import Scene
from bevformer_eval.data.source import Source
from bevformer_eval.fast.engine import Engine, Inputs, Ticket
from bevformer_eval.predict import Advance, EgoMotion, SceneResult, check_finite, gpu_errors
from bevformer_eval.results import Boxes

# Batches in host memory: one that the GPU works on, and two that are being decoded.
BUFFERS = 3


class Place(NamedTuple):
    """A sample in a slot of the batch, by the number of its scene."""

    scene: int
    sample: Sample
    can_bus: np.ndarray
    has_prev: bool


Step = List[Optional[Place]]  # one entry a slot; None where no scene is left


def plan(scenes: Sequence[Scene], slots: int) -> Iterator[Step]:
    """Yield the steps: a slot that has finished a scene takes the next one that nobody has."""
    waiting = iter(enumerate(scenes))
    running: List[Iterator[Place]] = [iter(()) for _ in range(slots)]
    while True:
        step: Step = []
        for slot in range(slots):
            place = next(running[slot], None)
            while place is None:
                number, scene = next(waiting, (-1, None))
                if scene is None:
                    break
                running[slot] = _places(number, scene)
                place = next(running[slot], None)
            step.append(place)
        if not any(step):
            return
        yield step


def _places(number: int, scene: Scene) -> Iterator[Place]:
    motion = EgoMotion()
    for sample in scene.samples:
        yield Place(number, sample, *motion.step(sample))


class _Loaded(NamedTuple):
    """A step whose images are being decoded into a buffer; each future gives its seconds."""

    step: Step
    pixels: Tensor
    images: List[List[Future[float]]]


class FastPredictor:
    """Evaluates `engine.batch` scenes at a time; `workers` threads read and decode images."""

    def __init__(self, engine: Engine, source: Source, *, workers: int) -> None:
        self._engine, self._source, self._workers = engine, source, workers

    def predict(self, scenes: Sequence[Scene], advance: Advance) -> Iterator[SceneResult]:
        """Yield the results of each scene as soon as its last sample is done."""
        results = [SceneResult(scene, []) for scene in scenes]
        pool = ThreadPoolExecutor(self._workers)
        try:
            for step, rows, seconds in self._steps(plan(scenes, self._engine.batch), pool):
                busy = [slot for slot, place in enumerate(step) if place is not None]
                for slot in busy:
                    place = step[slot]
                    result = results[place.scene]
                    result.boxes.append(boxes(rows[slot], place.sample))
                    result.seconds["load"] += seconds[slot]
                    result.seconds["forward"] += seconds[-1] / len(busy)
                    advance()
                    if len(result.boxes) == len(result.scene.samples):
                        yield result
        finally:
            pool.shutdown(wait=True)

    def _steps(
        self, steps: Iterator[Step], pool: ThreadPoolExecutor
    ) -> Iterator[Tuple[Step, np.ndarray, List[float]]]:
        """Yield each step, its rows, and its seconds: loading by slot, then the forward."""
        free = deque(self._engine.pixels() for _ in range(BUFFERS))
        loading: Deque[_Loaded] = deque()
        running: Deque[Tuple[_Loaded, List[float], Ticket]] = deque()
        try:
            while True:
                while free:
                    step = next(steps, None)
                    if step is None:
                        break
                    loading.append(self._load(step, free.popleft(), pool))
                if loading:
                    loaded = loading.popleft()
                    load = [sum(image.result() for image in slot) for slot in loaded.images]
                    with gpu_errors():
                        ticket = self._engine.step(loaded.pixels, _inputs(loaded.step))
                    running.append((loaded, load, ticket))
                elif not running:
                    return
                # With one step queued behind it, the GPU is never without work.
                if len(running) > 1 or not loading:
                    loaded, load, ticket = running.popleft()
                    with gpu_errors():
                        rows, forward = ticket.result()
                    free.append(loaded.pixels)
                    yield loaded.step, rows, [*load, forward]
        finally:
            for loaded in loading:
                for image in (image for slot in loaded.images for image in slot):
                    image.cancel()

    def _load(self, step: Step, pixels: Tensor, pool: ThreadPoolExecutor) -> _Loaded:
        images: List[List[Future[float]]] = []
        for slot, place in enumerate(step):
            targets = pixels[slot].numpy()
            names = [] if place is None else [place.sample.images[camera] for camera in CAMERAS]
            images.append([pool.submit(self._decode, *job) for job in zip(names, targets)])
        return _Loaded(step, pixels, images)

    def _decode(self, name: str, target: np.ndarray) -> float:
        start = time.perf_counter()
        target[...] = decode(read(self._source, name), f"{self._source.name}: {name}")
        return time.perf_counter() - start


def _inputs(step: Step) -> Inputs:
    """Return the step's inputs; a slot without a sample gets harmless ones."""
    lidar2img = [
        np.eye(4)[None].repeat(len(CAMERAS), 0) if p is None else p.sample.lidar2img for p in step
    ]
    can_bus = [np.zeros(18) if place is None else place.can_bus for place in step]
    has_prev = [place is not None and place.has_prev for place in step]
    return Inputs(np.stack(lidar2img), np.stack(can_bus), np.array(has_prev))


def boxes(rows: np.ndarray, sample: Sample) -> Boxes:
    """Return the boxes in one frame's rows of `Ticket.result`."""
    check_finite(sample, rows)
    kept = rows[rows[:, 11] > 0]
    return Boxes(kept[:, :9].copy(), kept[:, 9].copy(), kept[:, 10].astype(np.int64))
