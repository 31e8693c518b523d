"""Measure the native model on one GPU: is it right, how fast, and what limits it. Writes JSON.

    PYTHONPATH=src python tools/bench_gpu.py --out bench.json [--data SHARED_DATA] [--sections ...]

Every section runs by itself: one that fails is recorded with its error, and the next begins. All
comparisons are with what the authors' code returned, with TF32 off. It needs torch, numpy and
OpenCV; `build_mmcv_op.py` gives it mmcv's op.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

import cv2
import numpy as np
import torch

from bevformer_eval import golden, ops, ops_check
from bevformer_eval.data import CAMERAS, RigidTransform, Sample
from bevformer_eval.data.images import decode, preprocess, read
from bevformer_eval.data.nuscenes import Scene
from bevformer_eval.data.source import DirectorySource, Source
from bevformer_eval.data.synthetic import write_scenes
from bevformer_eval.fast import layers, networks
from bevformer_eval.fast.engine import Engine
from bevformer_eval.fast.predictor import BUFFERS, FastPredictor
from bevformer_eval.golden_scenes import golden_file
from bevformer_eval.model import BEVFormerTiny, Detections, Output
from bevformer_eval.predict import EgoMotion
from bevformer_eval.weights import seeded_state_dict

Result = Dict[str, Any]
Golden = Mapping[str, np.ndarray]
UNMOVED = RigidTransform((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
AUTHORS = 15.8  # frames/s of the authors' forward in float32 on an H200; it bounds their loop


class Setting(NamedTuple):
    """What all sections share."""

    device: str
    batches: List[int]
    workers: int
    scratch: Path
    data: Path
    state: Mapping[str, torch.Tensor]


def main() -> int:
    """Run the sections and write what each found after each, so that a time limit loses nothing."""
    args = _arguments()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    results: Result = {"environment": environment(args.device)}
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(
            args.device,
            args.batches,
            args.workers,
            Path(scratch),
            args.data,
            seeded_state_dict(0),
        )
        for name in args.sections:
            start = time.perf_counter()
            results[name] = guarded(lambda: SECTIONS[name](setting))  # noqa: B023
            results[name]["section_seconds"] = round(time.perf_counter() - start, 1)
            print(json.dumps({name: results[name]}, indent=1), flush=True)  # noqa: T201
            args.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            if args.device.startswith("cuda"):
                torch.cuda.empty_cache()
    text = json.dumps(results)
    return int('"error"' in text or '"passed": false' in text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batches", type=int, nargs="+", default=[8])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--data", type=Path, default=Path("absent"), help="holds nuscenes_frame/ and golden/"
    )
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=DEFAULT)
    return parser.parse_args()


def environment(device: str) -> Result:
    """Return the versions and the hardware."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "cpus": os.cpu_count(),
    }
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


# Is it right?


def op(setting: Setting) -> Result:
    """Compare the op's implementations over random shapes, and time them at the model's shapes."""
    report = ops_check.check_ops(setting.device, trials=30)
    result = report.as_dict()
    device = torch.device(setting.device)
    shapes = ((15, 25),) * 6
    generator = torch.Generator(device).manual_seed(0)
    value = torch.randn(8, 6 * 375, 8, 32, device=device, generator=generator)
    places = torch.rand(8, 2500, 8, 6, 8, 2, device=device, generator=generator)
    weights = torch.rand(8, 2500, 8, 6, 8, device=device, generator=generator)
    arguments = (value, shapes, places, weights)
    result["spatial_attention_ms"] = {
        "pytorch": milliseconds(lambda: ops.ms_deform_attn_pytorch(*arguments), setting.device)
    }
    if not report.problem and device.type == "cuda":
        mmcv = ops.ms_deform_attn_mmcv
        result["spatial_attention_ms"]["mmcv"] = milliseconds(
            lambda: mmcv(*arguments), setting.device
        )
        difference = mmcv(*arguments) - ops.ms_deform_attn_pytorch(*arguments)
        result["spatial_attention_largest_difference"] = float(difference.abs().max())
    return result


def native(setting: Setting) -> Result:
    """Compare the plain model, frame by frame, with the golden outputs."""
    result: Result = {}
    frame = setting.data / "nuscenes_frame"
    if frame.is_dir():
        report = golden.compare(
            frame, setting.data / "golden" / "upstream_seed0.npz", 0, setting.device
        )
        result["real_frame"] = report.as_dict()
    scenes, source, expected = golden_scenes(setting)
    model = BEVFormerTiny().eval()
    model.load_state_dict(dict(setting.state))
    model.to(setting.device)
    rows = []
    for scene in scenes:
        motion, bev = EgoMotion(), None
        for sample in scene.samples:
            images = [decode(read(source, sample.images[camera]), "image") for camera in CAMERAS]
            inputs = (preprocess(images), sample.lidar2img, motion.step(sample)[0])
            tensors = [torch.from_numpy(part)[None].to(setting.device) for part in inputs]
            with torch.no_grad():
                output = model(*tensors, bev)
            bev = output.bev
            rows += compare_step(expected, sample.token, output)
    result["synthetic"] = summary(rows)
    return result


def engine(setting: Setting) -> Result:
    """Compare the engine's raw outputs and detections with the golden ones, in each precision."""
    scenes, source, expected = golden_scenes(setting)
    return {
        precision: guarded(lambda: _engine_rows(setting, precision, (scenes, source, expected)))  # noqa: B023
        for precision in ("float32", "pairs")
        if setting.device.startswith("cuda") or precision == "float32"
    }


def _engine_rows(setting: Setting, precision: str, case: Any) -> Result:
    scenes, source, expected = case
    watched = Engine(setting.state, 2, setting.device, precision)
    step, rows = watched.step, []
    order = zip(*(scene.samples for scene in scenes))

    def observed(*arguments: Any) -> Any:
        ticket = step(*arguments)
        ticket.result()
        for slot, sample in enumerate(next(order)):
            output = Output(*(part[slot : slot + 1].clone() for part in watched.output))
            rows.extend(compare_step(expected, sample.token, output))
        return ticket

    watched.step = observed  # type: ignore[method-assign]
    predictor = FastPredictor(watched, source, workers=4)
    found = {
        sample.token: boxes
        for result in predictor.predict(scenes, lambda: None)
        for sample, boxes in zip(result.scene.samples, result.boxes)
    }
    for token, boxes in found.items():
        index = expected["tokens"].tolist().index(token)
        names = ("boxes", "scores", "labels")
        right = Detections(*(torch.from_numpy(expected[f"{name}_{index}"]) for name in names))
        left = Detections(*(torch.from_numpy(np.asarray(part)) for part in boxes))
        rows.append(golden.compare_detections(f"predicted {index}", left, right))
    return summary(rows)


def slots(setting: Setting) -> Result:
    """Say whether a scene's boxes depend on its slot or its neighbours: they must not, by a bit."""
    scenes, source, _ = golden_scenes(setting)
    tool = Engine(setting.state, 4, setting.device)
    found: Dict[str, List[np.ndarray]] = {}
    for order in ([0], [1, 0], [0, 1, 1, 0], [1, 1, 1, 1, 0, 0]):
        copies = [dataclasses.replace(scenes[i], token=f"{n}") for n, i in enumerate(order)]
        predictor = FastPredictor(tool, source, workers=4)
        for result in predictor.predict(copies, lambda: None):
            whole = np.concatenate([np.c_[b.boxes, b.scores, b.labels] for b in result.boxes])
            found.setdefault(result.scene.name, []).append(whole)
    return {
        "precision": tool.precision,
        "note": tool.note,
        "identical": {
            name: all(np.array_equal(values[0], value) for value in values)
            for name, values in found.items()
        },
        "runs": {name: len(values) for name, values in found.items()},
    }


def compare_step(expected: Golden, token: str, output: Output) -> List[golden.Row]:
    """Compare one frame's output with the golden arrays of its token."""
    index = expected["tokens"].tolist().index(token)
    return golden.compare_step(index, Output(*(part.float().cpu() for part in output)), expected)


def summary(rows: Sequence[golden.Row]) -> Result:
    """Return the worst of each kind of array, and whether all passed."""
    kinds = sorted({row.name.split()[0] for row in rows})
    worst = {}
    for kind in kinds:
        row = max(
            (row for row in rows if row.name.split()[0] == kind), key=lambda row: row.of_tolerance
        )
        deviation = max(row.deviation for row in rows if row.name.split()[0] == kind)
        worst[kind] = {"deviation": deviation, "of_tolerance": row.of_tolerance, "note": row.note}
    return {"passed": all(row.passed for row in rows), "rows": len(rows), "worst": worst}


# How fast?


def forward(setting: Setting) -> Result:
    """Time the captured forward alone, with no images to load, and its two halves."""
    cases = itertools.product(setting.batches, ("float32", "pairs"))
    return {
        f"{how} batch {batch}": guarded(lambda: _forward(setting, batch, how))  # noqa: B023
        for batch, how in cases
    }


def guarded(action: Callable[[], Result]) -> Result:
    """Return the action's result, or its error as one."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - the other results are worth having
        return {"error": repr(error), "trace": traceback.format_exc()[-3000:]}


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


# Channels, outputs, kernel, stride, height and width of the input: every convolution that differs.
CONVOLUTIONS = {
    "stage 1, 1x1 in": (256, 64, 1, 1, 120, 200),
    "stage 1, 3x3": (64, 64, 3, 1, 120, 200),
    "stage 1, 1x1 out": (64, 256, 1, 1, 120, 200),
    "stage 2, 3x3": (128, 128, 3, 1, 60, 100),
    "stage 2, 1x1 out": (128, 512, 1, 1, 60, 100),
    "stage 3, 1x1 in": (1024, 256, 1, 1, 30, 50),
    "stage 3, 3x3": (256, 256, 3, 1, 30, 50),
    "stage 3, 1x1 out": (256, 1024, 1, 1, 30, 50),
    "stage 4, 3x3": (512, 512, 3, 1, 15, 25),
    "stage 4, 1x1 in": (2048, 512, 1, 1, 15, 25),
}
TILES = [
    networks.Tiles(128, 128, 64, 8, 4, fused=False),
    networks.Tiles(128, 128, 64, 8, 3, fused=True),
    networks.Tiles(128, 128, 64, 4, 3, fused=True),
    networks.Tiles(128, 256, 64, 8, 4, fused=False),
    networks.Tiles(128, 256, 64, 8, 2, fused=True),
    networks.Tiles(128, 128, 32, 4, 4, fused=True),
    networks.Tiles(64, 128, 64, 4, 3, fused=True),
    networks.Tiles(128, 64, 64, 4, 4, fused=False),
    networks.Tiles(128, 64, 64, 4, 3, fused=True),
    networks.Tiles(256, 64, 64, 8, 3, fused=True),
]


def tune(setting: Setting) -> Result:
    """Time each convolution with each tiling; TFLOP/s of the float32 result, against cuDNN."""
    result: Result = {}
    images = setting.batches[0] * 6
    for name, (channels, outputs, kernel, stride, height, width) in CONVOLUTIONS.items():
        weight = torch.randn(outputs, channels, kernel, kernel, device=setting.device) * 0.02
        layer = layers.Layer(
            weight, torch.zeros(outputs, device=setting.device), stride, kernel // 2
        )
        x = torch.randn(images, height, width, channels, device=setting.device)
        flop = 2 * images * height * width * channels * outputs * kernel**2 / stride**2
        pairs, halves = layers.split(x), layers.pair(layer)
        added = None  # the last convolution of a block adds the shortcut
        if name.endswith("out"):
            added = torch.zeros(2, images, height, width, outputs, device=x.device).half()
        nchw = x.permute(0, 3, 1, 2).contiguous()
        exact = milliseconds(lambda: networks._convolve(nchw, layer), setting.device)  # noqa: B023
        row = {"cuDNN float32": round(flop / exact / 1e9, 1)}
        for tiles in TILES:
            if outputs % tiles.columns == 0:
                label = "x".join(map(str, tiles[:3])) + f" w{tiles.warps} s{tiles.stages}"
                row[label + (" fused" if tiles.fused else "")] = _rate(
                    flop, (pairs, halves, added), tiles, setting
                )
        result[name] = row
    return result


def _rate(flop: float, arguments: Any, tiles: networks.Tiles, setting: Setting) -> Any:
    try:
        action = partial(networks.convolve, *arguments, tiles=tiles)
        time_ = milliseconds(action, setting.device)
    except Exception as error:  # noqa: BLE001 - a tiling that does not fit is a finding
        return type(error).__name__
    return round(flop / time_ / 1e9, 1)


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
            predictor = FastPredictor(tool, _Files(source, files), workers=setting.workers)
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
                "times_the_authors_forward": round(count / seconds / AUTHORS, 2),
                "forward_share": round(sum(s.seconds["forward"] for s in done) / seconds, 3),
                "cores_busy_decoding": round(sum(s.seconds["load"] for s in done) / seconds, 1),
                "pinned_gib": round(BUFFERS * batch * 6 * 900 * 1600 * 3 / 2**30, 2),
            }
        del tool
    return result


# Data


def golden_scenes(setting: Setting) -> Any:
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


class _Files:
    """Gives files by their number."""

    def __init__(self, source: Source, files: Sequence[Path]) -> None:
        self.name, self._source, self._files = "files", source, files

    def open(self, path: str) -> Any:
        return self._files[int(path)].open("rb")


SECTIONS: Dict[str, Callable[[Setting], Result]] = {
    "op": op,
    "native": native,
    "engine": engine,
    "slots": slots,
    "forward": forward,
    "decoding": decoding,
    "end_to_end": end_to_end,
    "profile": profile,
    "tune": tune,
}
DEFAULT = ["op", "native", "engine", "slots", "forward", "decoding", "end_to_end", "profile"]

if __name__ == "__main__":
    sys.exit(main())
