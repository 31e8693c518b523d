"""Loads what a model needs of each sample ahead of it, in order, with threads."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable, Deque, Generator, NamedTuple, Sequence, TypeVar

import numpy as np

from bevformer_eval.data import SCALE, Sample
from bevformer_eval.data.images import load_images, preprocess
from bevformer_eval.data.source import Source

Loaded = TypeVar("Loaded")


class Frame(NamedTuple):
    """A sample as the plain model reads it, and the seconds that a thread spent on it.

    images: float32 (6, 3, H, W); lidar2img: float64 (6, 4, 4), scaled as the images.
    """

    images: np.ndarray
    lidar2img: np.ndarray
    seconds: float


@dataclass(frozen=True)
class FrameLoader:
    """Loads frames ahead with threads, their images scaled by `scale`.

    A frame takes 28 MB at the published model's scale; OpenCV decodes outside the interpreter's
    lock.
    """

    source: Source
    workers: int
    scale: float = SCALE

    def frames(self, samples: Sequence[Sample]) -> Generator[Frame, None, None]:
        """Yield the frame of each sample, in order."""
        return ahead(self._load, samples, self.workers)

    def _load(self, sample: Sample) -> Frame:
        start = time.perf_counter()
        images = preprocess(load_images(self.source, sample), self.scale)
        ratio = self.scale / SCALE  # 1.0 exactly for the published model, whose scale a sample has
        lidar2img = np.diag([ratio, ratio, 1.0, 1.0]) @ sample.lidar2img
        return Frame(images, lidar2img, time.perf_counter() - start)


def ahead(
    load: Callable[[Sample], Loaded], samples: Sequence[Sample], workers: int
) -> Generator[Loaded, None, None]:
    """Yield what `load` makes of each sample, in order; at most `workers` + 1 are made ahead."""
    pool = ThreadPoolExecutor(workers)
    made: Deque[Future[Loaded]] = deque()
    try:
        for sample in samples:
            made.append(pool.submit(load, sample))
            if len(made) > workers:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
    finally:
        for future in made:
            future.cancel()
        pool.shutdown(wait=True)
