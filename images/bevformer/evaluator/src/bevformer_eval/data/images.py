"""Reads the six camera images of a sample and prepares them as upstream's test pipeline does."""

from __future__ import annotations

import zipfile
import zlib
from typing import Sequence

import cv2
import numpy as np

from bevformer_eval.data import (
    CAMERAS,
    PIXEL_MEAN,
    PIXEL_STD,
    SCALE,
    SOURCE_HEIGHT,
    SOURCE_WIDTH,
    STRIDE,
    Sample,
)
from bevformer_eval.data.source import Source
from bevformer_eval.errors import DataError

# As upstream: rounded to float32 first, then used in float64.
_MEAN = np.float64(np.float32(PIXEL_MEAN)).reshape(1, -1)
_INVERSE_STD = 1 / np.float64(np.float32(PIXEL_STD)).reshape(1, -1)


def load_images(source: Source, sample: Sample) -> np.ndarray:
    """Return the images of a sample, uint8 (6, 900, 1600, 3) in BGR, in the order of CAMERAS."""
    images = np.empty((len(CAMERAS), SOURCE_HEIGHT, SOURCE_WIDTH, 3), np.uint8)
    for index, camera in enumerate(CAMERAS):
        images[index] = decode(
            read(source, sample.images[camera]), f"{source.name}: {sample.images[camera]}"
        )
    return images


def read(source: Source, path: str) -> bytes:
    """Return the bytes of one file."""
    try:
        with source.open(path) as stream:
            return stream.read()
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        reason = str(error) or type(error).__name__
        hint = "unpack or download its archive again"
        raise DataError(f"{source.name}: {path}: cannot be read: {reason}", hint) from error


def decode(data: bytes, name: str) -> np.ndarray:
    """Return one image, uint8 (900, 1600, 3) in BGR; `name` is how an error calls it."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DataError(f"{name} is cut off or not a JPEG", "unpack or download its archive again")
    if image.shape != (SOURCE_HEIGHT, SOURCE_WIDTH, 3):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise DataError(
            f"{name} is {size}, not {SOURCE_WIDTH}x{SOURCE_HEIGHT}",
            "use the images as nuScenes publishes them",
        )
    return image


def preprocess(images: Sequence[np.ndarray], scale: float = SCALE) -> np.ndarray:
    """Return float32 (6, 3, H, W): RGB, normalised, scaled bilinearly, padded with 0.

    H and W are multiples of STRIDE: 480 and 800 at the published model's scale. The order is
    upstream's; scaling before normalising would differ in the last bits.
    """
    size = (int(SOURCE_WIDTH * scale), int(SOURCE_HEIGHT * scale))
    padded = [-(-side // STRIDE) * STRIDE for side in reversed(size)]
    result = np.zeros((len(images), 3, *padded), np.float32)
    for index, image in enumerate(images):
        pixels = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)
        cv2.subtract(pixels, _MEAN, pixels)
        cv2.multiply(pixels, _INVERSE_STD, pixels)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        result[index, :, : size[1], : size[0]] = small.transpose(2, 0, 1)
    return result
