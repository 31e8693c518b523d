"""Is it right? The sections of bench_gpu.py that compare with the authors' outputs or float64."""
# ruff: noqa: SLF001

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
from bench_common import Golden, Result, Setting, golden_scenes, guarded, image_sets, milliseconds

from bevformer_eval import golden, ops, ops_check
from bevformer_eval.data import CAMERAS
from bevformer_eval.data.images import decode, preprocess, read
from bevformer_eval.data.nuscenes import Scene
from bevformer_eval.data.source import Source
from bevformer_eval.fast import layers
from bevformer_eval.fast.engine import Engine
from bevformer_eval.fast.networks import Float32Network, PairNetwork
from bevformer_eval.fast.predictor import FastPredictor
from bevformer_eval.model import BEVFormerTiny, Detections, Output
from bevformer_eval.predict import EgoMotion

Case = Tuple[List[Scene], Source, Golden]


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


def features(setting: Setting) -> Result:
    """Compare the image network of each precision with itself in float64, on six images."""
    files = list(image_sets(setting).values())[-1][: len(CAMERAS)]
    images = [decode(file.read_bytes(), str(file)) for file in files]
    pixels = torch.from_numpy(np.stack(images)).to(setting.device)
    model = BEVFormerTiny().eval()
    model.load_state_dict(dict(setting.state))
    model.to(setting.device)
    folded = layers.fold(model.img_backbone, model.img_neck)
    networks: Dict[str, Any] = {"float32": Float32Network(folded)}
    if setting.device.startswith("cuda"):
        networks["pairs"] = PairNetwork(folded, len(pixels), pixels.device)
    with torch.no_grad():
        # One by one: cuDNN's float64 convolutions take much memory.
        expected = torch.cat([_Float64(_in_float64(folded))(image[None]) for image in pixels])
        return {name: _errors(network(pixels), expected) for name, network in networks.items()}


class _Float64(Float32Network):
    """The same network on layers of float64."""

    @staticmethod
    def _prepare(pixels: torch.Tensor) -> torch.Tensor:
        return Float32Network._prepare(pixels).double()


def _in_float64(network: layers.Layers) -> layers.Layers:
    def wide(layer: layers.Layer) -> layers.Layer:
        return layer._replace(weight=layer.weight.double(), bias=layer.bias.double())

    blocks = tuple(layers.Block(*(part and wide(part) for part in b)) for b in network.blocks)
    rest = (wide(layer) for layer in (network.lateral, network.pyramid))
    return layers.Layers(wide(network.stem), blocks, *rest)


def _errors(found: torch.Tensor, expected: torch.Tensor) -> Result:
    error = found.double() - expected
    return {
        "relative_error": float(error.norm() / expected.norm()),
        "largest_error_of_largest_value": float(error.abs().max() / expected.abs().max()),
        "shrunk_by": float(-(error * expected.sign()).mean() / expected.abs().mean()),
    }


def engine(setting: Setting) -> Result:
    """Compare the engine's raw outputs and detections with the golden ones, in each precision."""
    scenes, source, expected = golden_scenes(setting)
    return {
        precision: guarded(lambda: _engine_rows(setting, precision, (scenes, source, expected)))  # noqa: B023
        for precision in ("float32", "pairs")
        if setting.device.startswith("cuda") or precision == "float32"
    }


def _engine_rows(setting: Setting, precision: str, case: Case) -> Result:
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
