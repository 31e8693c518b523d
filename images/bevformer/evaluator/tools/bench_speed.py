"""How fast? The sections of bench_gpu.py that measure time, and what the limits are."""
# ruff: noqa: SLF001

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import torch
from bench_common import (
    Files,
    Result,
    Setting,
    golden_scenes,
    guarded,
    image_sets,
    long_scenes,
    milliseconds,
)

from bevformer_eval.data.images import decode
from bevformer_eval.fast import networks
from bevformer_eval.fast.engine import Engine
from bevformer_eval.fast.predictor import BUFFERS, FastPredictor


def forward(setting: Setting) -> Result:
    """Time the captured forward alone, with no images to load, and its two halves."""
    cases = itertools.product(setting.batches, ("float32", "pairs"))
    return {
        f"{how} batch {batch}": guarded(lambda: _forward(setting, batch, how))  # noqa: B023
        for batch, how in cases
    }


def _forward(setting: Setting, batch: int, precision: str) -> Result:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    tool = Engine(setting.state, batch, setting.device, precision)
    ready = time.perf_counter() - begun
    whole = milliseconds(tool._graph.replay, setting.device)
    peak = torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()
    pixels = tool._pixels.flatten(0, 1)
    with torch.no_grad():
        network = milliseconds(lambda: tool._network(pixels), setting.device)
    return {
        "samples_per_second": round(1e3 * batch / whole, 1),
        "ms_per_sample": round(whole / batch, 3),
        "ms_per_sample_image_network": round(network / batch, 3),
        "ms_per_sample_rest": round((whole - network) / batch, 3),
        "start_seconds": round(ready, 1),
        "peak_reserved_gib": round(peak[0] / 2**30, 2),
        "peak_allocated_gib": round(peak[1] / 2**30, 2),
    }


def profile(setting: Setting) -> Result:
    """Name the kernels that take the time of one forward."""
    tool = Engine(setting.state, setting.batches[0], setting.device)
    with torch.no_grad(), torch.profiler.profile() as profiler:
        tool._forward()
        torch.cuda.synchronize()
    events = [event for event in profiler.key_averages() if event.self_device_time_total > 0]
    events.sort(key=lambda event: -event.self_device_time_total)
    rows = [
        {
            "kernel": event.key[:90],
            "ms": round(event.self_device_time_total / 1e3, 3),
            "calls": event.count,
        }
        for event in events[:30]
    ]
    return {"precision": tool.precision, "batch": tool.batch, "kernels": rows}


# The depth decides the accuracy: 32 and 64 give features about as exact as cuDNN's float32.
TILES = [
    networks.Tiles(64, 128, 32, 4, 3),
    networks.Tiles(64, 128, 32, 4, 4),
    networks.Tiles(128, 128, 32, 8, 3),
    networks.Tiles(128, 128, 32, 8, 4),
    networks.Tiles(128, 64, 32, 4, 3),
    networks.Tiles(128, 64, 32, 4, 4),
    networks.Tiles(64, 64, 32, 4, 4),
    networks.Tiles(256, 64, 32, 8, 3),
    networks.Tiles(128, 128, 64, 8, 3),
    networks.Tiles(128, 64, 64, 4, 3),
    networks.Tiles(64, 64, 64, 4, 3),
]


class _Call(NamedTuple):
    """A convolution of the network; alike ones are timed once."""

    arguments: Tuple[Any, ...]
    relu: bool


def tiles(setting: Setting) -> Result:
    """Sum the time of the network's convolutions by tiling, in ms a batch, by what they give."""
    tool = Engine(setting.state, setting.batches[0], setting.device, "pairs")
    groups: Dict[str, List[List[_Call]]] = {"64 outputs": [], "multiples of 128": []}
    for calls in _convolutions(tool).values():
        outputs = calls[0].arguments[1].weight.shape[1]
        groups["64 outputs" if outputs % 128 else "multiples of 128"].append(calls)
    result: Result = {"batch": tool.batch}
    for group, kinds in groups.items():
        fitting = [tiling for tiling in TILES if group != "64 outputs" or tiling.columns == 64]
        result[group] = {
            "{}x{}x{}, {} warps, {} stages".format(*tiling): _total(kinds, tiling, setting)
            for tiling in fitting
        }
    return result


def _total(kinds: List[List[_Call]], tiling: networks.Tiles, setting: Setting) -> Any:
    """Return the milliseconds of all calls, or why the tiling does not run."""
    total = 0.0
    for calls in kinds:
        arguments, relu = calls[0]
        action = partial(networks.convolve, *arguments, relu=relu, tiles=tiling)
        try:
            total += len(calls) * milliseconds(action, setting.device, least=0.05)
        except Exception as error:  # noqa: BLE001 - a tiling that does not fit is a finding
            return type(error).__name__
    return round(total, 2)


def _convolutions(tool: Engine) -> Dict[Tuple[Any, ...], List[_Call]]:
    """Return the convolutions of the engine's network, alike ones together."""
    found: Dict[Tuple[Any, ...], List[_Call]] = collections.defaultdict(list)
    convolve = networks.convolve

    def record(x: Any, layer: Any, residual: Any = None, *, relu: bool = True) -> Any:
        key = (x.shape, x.stride(), layer.weight.shape, layer.stride, residual is None, relu)
        found[key].append(_Call((x, layer, residual), relu))
        return convolve(x, layer, residual, relu=relu)

    networks.convolve = record
    try:
        with torch.no_grad():
            tool._network(tool._pixels.flatten(0, 1))
    finally:
        networks.convolve = convolve
    return found


def decoding(setting: Setting) -> Result:
    """Count the images that threads decode in a second: what the cores allow."""
    result: Result = {}
    for name, files in image_sets(setting).items():
        target = np.empty((64, 900, 1600, 3), np.uint8)

        def job(number: int, files: List[Path] = files, target: np.ndarray = target) -> None:
            data = files[number % len(files)].read_bytes()
            target[number % 64] = decode(data, "image")

        rates = {}
        for workers in sorted({1, 4, setting.workers // 2 or 1, setting.workers}):
            count = 40 * workers
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                list(pool.map(job, range(workers)))
                start = time.perf_counter()
                list(pool.map(job, range(count)))
                seconds = time.perf_counter() - start
            rates[f"{workers} threads"] = round(count / seconds / 6, 1)
        size = sum(path.stat().st_size for path in files) / len(files)
        result[name] = {"bytes_per_image": int(size), "samples_per_second": rates}
    return result


def end_to_end(setting: Setting) -> Result:
    """Time whole evaluations, from files to boxes: 8 scenes a batch, 40 samples a scene."""
    scenes, source, _ = golden_scenes(setting)
    result: Result = {}
    for batch in setting.batches:
        tool = Engine(setting.state, batch, setting.device)
        for name, files in image_sets(setting).items():
            many = long_scenes(scenes[0].samples[0], batch * 2, files)
            predictor = FastPredictor(tool, Files(source, files), workers=setting.workers)
            list(predictor.predict(many[:batch], lambda: None))
            start = time.perf_counter()
            done = list(predictor.predict(many, lambda: None))
            seconds = time.perf_counter() - start
            count = sum(len(scene.boxes) for scene in done)
            result[f"{name}, batch {batch}"] = {
                "precision": tool.precision,
                "note": tool.note,
                "samples": count,
                "samples_per_second": round(count / seconds, 1),
                "images_per_second": round(6 * count / seconds, 1),
                "forward_share": round(sum(s.seconds["forward"] for s in done) / seconds, 3),
                "cores_busy_decoding": round(sum(s.seconds["load"] for s in done) / seconds, 1),
                "pinned_gib": round(BUFFERS * batch * 6 * 900 * 1600 * 3 / 2**30, 2),
            }
        del tool
    return result
