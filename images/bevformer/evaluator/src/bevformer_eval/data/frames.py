"""Loads the images of samples ahead of the model, in order, with threads."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Deque, Generator, Sequence, Tuple

import numpy as np

from bevformer_eval.data import Sample
from bevformer_eval.data.images import load_images, preprocess
from bevformer_eval.data.source import Source

Frame = Tuple[np.ndarray, float]


def frames(source: Source, samples: Sequence[Sample], workers: int) -> Generator[Frame, None, None]:
    """Yield each sample's float32 (6, 3, 480, 800) images, and the seconds that a thread spent.

    Not more than `workers` + 1 samples (28 MB each) are loaded ahead; OpenCV decodes outside the
    interpreter's lock.
    """

    def load(sample: Sample) -> Frame:
        start = time.perf_counter()
        images = preprocess(load_images(source, sample))
        return images, time.perf_counter() - start

    pool = ThreadPoolExecutor(workers)
    ahead: Deque[Future[Frame]] = deque()
    remaining = iter(samples)
    try:
        for sample in remaining:
            ahead.append(pool.submit(load, sample))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
        pool.shutdown(wait=True)
