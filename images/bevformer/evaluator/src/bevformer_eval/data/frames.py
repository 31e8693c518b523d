"""Loads what a model needs of each sample ahead of it, in order, with threads."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Generator, Sequence, Tuple, TypeVar

import numpy as np

from bevformer_eval.data import Sample
from bevformer_eval.data.images import load_images, preprocess
from bevformer_eval.data.source import Source

Frame = Tuple[np.ndarray, float]
Loaded = TypeVar("Loaded")


def frames(source: Source, samples: Sequence[Sample], workers: int) -> Generator[Frame, None, None]:
    """Yield each sample's float32 (6, 3, 480, 800) images, and the seconds that a thread spent.

    A sample takes 28 MB; OpenCV decodes outside the interpreter's lock.
    """

    def load(sample: Sample) -> Frame:
        start = time.perf_counter()
        images = preprocess(load_images(source, sample))
        return images, time.perf_counter() - start

    return ahead(load, samples, workers)


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
