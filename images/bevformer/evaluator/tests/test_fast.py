"""The batched evaluation: plans, the predictor around any engine, and the kernels' arithmetic."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from bevformer_eval import golden
from bevformer_eval.data import CAMERAS, RigidTransform, Sample
from bevformer_eval.data.images import preprocess
from bevformer_eval.data.nuscenes import Request, Scene, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.errors import DataError, EvalError, HostError
from bevformer_eval.fast import layers
from bevformer_eval.fast.engine import Engine, Inputs, Ticket
from bevformer_eval.fast.networks import Float32Network, choose_tiles
from bevformer_eval.fast.predictor import FastPredictor, plan
from bevformer_eval.golden_scenes import golden_file
from bevformer_eval.model import Detections, Output
from bevformer_eval.model.backbone import FPN, ResNet50
from bevformer_eval.predict import EgoMotion
from bevformer_eval.weights import seeded_state_dict

POSE = RigidTransform((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))


def _scene(name: str, count: int) -> Scene:
    samples = []
    for index in range(count):
        can_bus = np.arange(18.0) * (index + 1) + len(name)
        images = {camera: f"{camera}.jpg" for camera in CAMERAS}
        lidar2img = np.full((6, 4, 4), float(index))
        token = f"{name}{index}"
        samples.append(Sample(token, name, name, index, "", images, lidar2img, can_bus, POSE, POSE))
    return Scene(name, name, samples)


PLANS = {
    "as many as slots": ([2, 2], 2, ["a0 b0", "a1 b1"]),
    "more than slots": ([1, 3, 2], 2, ["a0 b0", "c0 b1", "c1 b2"]),
    "fewer than slots": ([2], 3, ["a0 - -", "a1 - -"]),
    "an empty scene": ([0, 1], 1, ["b0"]),
    "none": ([], 2, []),
}


@pytest.mark.parametrize(("counts", "slots", "expected"), PLANS.values(), ids=list(PLANS))
def test_slots_take_the_next_scene(counts: List[int], slots: int, expected: List[str]) -> None:
    scenes = [_scene(name, count) for name, count in zip("abc", counts)]
    steps = list(plan(scenes, slots))
    found = [" ".join("-" if p is None else p.sample.token for p in step) for step in steps]
    assert found == expected
    for place in (place for step in steps for place in step if place is not None):
        assert place.has_prev is not place.sample.token.endswith("0")


class _Echo:
    """An engine whose boxes tell what it was given: the first pixel, the inputs, the slot."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def pixels(self) -> Tensor:
        return torch.zeros(self.batch, 6, 900, 1600, 3, dtype=torch.uint8)

    def step(self, pixels: Tensor, inputs: Inputs) -> Ticket:
        rows = torch.zeros(self.batch, 300, 12)
        rows[:, 0, 11] = 1
        rows[:, 0, :3] = pixels[:, 3, 0, 0].float()
        rows[:, 0, 3] = torch.from_numpy(inputs.can_bus)[:, 0]
        rows[:, 0, 4] = torch.from_numpy(inputs.has_prev).float()
        rows[:, 0, 5] = torch.from_numpy(inputs.lidar2img)[:, 0, 0, 0]
        rows[:, 0, 9], rows[:, 0, 10] = 0.5, 7
        return Ticket(rows, None, 0.25)


@pytest.fixture
def source(tmp_path: Path) -> DirectorySource:
    """Return six grey images, each of its own brightness."""
    for index, camera in enumerate(CAMERAS):
        image = np.full((900, 1600, 3), 40 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f"{camera}.jpg"), image)
    return DirectorySource(tmp_path)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_predictor_gives_each_sample_its_own_boxes(source: DirectorySource, batch: int) -> None:
    scenes = [_scene(name, count) for name, count in (("a", 3), ("bb", 1), ("ccc", 5))]
    seen: List[int] = []
    results = list(
        FastPredictor(_Echo(batch), source, workers=3).predict(scenes, lambda: seen.append(1))
    )
    assert len(seen) == 9
    assert sorted(result.scene.name for result in results) == ["a", "bb", "ccc"]
    for result in results:
        motion = EgoMotion()
        assert len(result.boxes) == len(result.scene.samples)
        for index, (sample, boxes) in enumerate(zip(result.scene.samples, result.boxes)):
            can_bus, has_prev = motion.step(sample)
            assert boxes.boxes.shape == (1, 9)
            assert boxes.boxes[0, :6].tolist() == [120, 120, 120, can_bus[0], has_prev, index]
            assert (boxes.scores.tolist(), boxes.labels.tolist()) == ([0.5], [7])
        assert result.seconds["load"] > 0
        assert result.seconds["forward"] > 0


def test_a_missing_image_ends_the_prediction(source: DirectorySource) -> None:
    (source.root / "CAM_BACK.jpg").unlink()
    with pytest.raises(DataError, match=r"CAM_BACK\.jpg"):
        list(FastPredictor(_Echo(2), source, workers=2).predict([_scene("a", 4)], lambda: None))


def test_what_is_not_finite_is_named(source: DirectorySource) -> None:
    class Broken(_Echo):
        def step(self, pixels: Tensor, inputs: Inputs) -> Ticket:
            ticket = super().step(pixels, inputs)
            ticket.packed[0, 7, 9] = float("nan")
            return ticket

    with pytest.raises(EvalError, match="sample a0 of a: the model returned NaN or infinity"):
        list(FastPredictor(Broken(1), source, workers=2).predict([_scene("a", 2)], lambda: None))


class _Watched:
    """An engine whose raw outputs are kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batch, self.pixels = engine.batch, engine.pixels
        self.outputs: List[Output] = []

    def step(self, pixels: Tensor, inputs: Inputs) -> Ticket:
        ticket = self._engine.step(pixels, inputs)
        self.outputs.append(self._engine.output)
        return ticket


def test_two_scenes_side_by_side_give_what_the_authors_give(pristine: Path, tmp_path: Path) -> None:
    """The raw outputs and the boxes of two steps of both scenes, by the engine on the CPU."""
    dataset = load(DirectorySource(pristine), Request(), tmp_path)
    scenes = [replace(scene, samples=scene.samples[:2]) for scene in dataset.scenes]
    with np.load(str(golden_file(0)), allow_pickle=False) as file:
        expected = {name: file[name] for name in file.files}
    tokens = expected["tokens"].tolist()
    engine = Engine(seeded_state_dict(0), 2, "cpu")
    assert (engine.precision, engine.note) == ("float32", "there is no GPU")
    watched = _Watched(engine)
    rows: List[golden.Row] = []
    for result in FastPredictor(watched, dataset.source, workers=2).predict(scenes, lambda: None):
        for sample, boxes in zip(result.scene.samples, result.boxes):
            index = tokens.index(sample.token)
            names = ("boxes", "scores", "labels")
            right = Detections(*(torch.from_numpy(expected[f"{n}_{index}"]) for n in names))
            left = Detections(*(torch.from_numpy(np.asarray(part)) for part in boxes))
            rows.append(golden.compare_detections(sample.token, left, right))
    for step, output in enumerate(watched.outputs):
        for slot, scene in enumerate(scenes):
            one = Output(*(part[slot : slot + 1] for part in output))
            rows += golden.compare_step(tokens.index(scene.samples[step].token), one, expected)
    assert len(rows) == 4 + 4 * 3  # boxes; scores, codes and detections
    assert [row for row in rows if not row.passed] == []


def test_pairs_on_the_cpu_are_refused() -> None:
    with pytest.raises(HostError, match="there is no GPU"):
        Engine(seeded_state_dict(0), 1, "cpu", "pairs")


def test_images_are_prepared_as_upstream_does() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 900, 1600, 3)).astype(np.uint8)
    found = Float32Network._prepare(torch.from_numpy(pixels))
    assert np.abs(found.numpy() - preprocess(list(pixels))).max() < 1e-6


# Pairs of halves


def test_pairs_hold_22_bits() -> None:
    values = torch.randn(10_000, dtype=torch.float64)
    error = (layers.join(layers.split(values)).double() - values).abs()
    assert bool((error <= 2.0**-22 * values.abs() + 2.0**-25).all())


def test_paired_weights_hold_22_bits_whatever_their_size() -> None:
    weight = torch.randn(8, 4, 3, 3) * torch.logspace(-12, 3, 8)[:, None, None, None]
    pair = layers.pair(layers.Layer(weight, torch.zeros(8), 1, 1))
    back = (layers.join(pair.weight) * pair.scale[:, None, None, None]).permute(0, 3, 1, 2)
    largest = weight.flatten(1).abs().amax(1)[:, None, None, None]
    assert bool(((back - weight).abs() <= 2.0**-21 * largest).all())
    assert bool(torch.isfinite(pair.weight).all())


def test_the_folded_network_equals_the_plain_one() -> None:
    state = seeded_state_dict(2)
    backbone, neck = ResNet50().eval(), FPN().eval()
    for module, prefix in ((backbone, "img_backbone."), (neck, "img_neck.")):
        part = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        module.load_state_dict(part)
    pixels = torch.randint(0, 256, (1, 900, 1600, 3), dtype=torch.uint8)
    with torch.no_grad():
        found = Float32Network(layers.fold(backbone, neck))(pixels).permute(0, 3, 1, 2)
        expected = neck(backbone(Float32Network._prepare(pixels)))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("outputs", [64, 128, 256, 512, 1024, 2048])
def test_tiles_fit_the_layers_and_every_gpu(outputs: int) -> None:
    tiles = choose_tiles(outputs)
    pair_bytes = 4
    assert outputs % tiles.columns == 0
    assert pair_bytes * tiles.depth * (tiles.rows + tiles.columns) * tiles.stages <= 99 * 1024
    assert tiles.depth <= 32  # longer sums lose accuracy on the tensor cores


INTERPRETED = """
import torch
from torch.nn import functional
from bevformer_eval.data import PIXEL_MEAN, PIXEL_STD
from bevformer_eval.fast import layers, networks

def check(found, expected):
    error = (layers.join(found).permute(0, 3, 1, 2).double() - expected).abs().max()
    assert found.shape[1] == expected.shape[0] and float(error) < 2e-6, float(error)

def pairs(x):
    return layers.split(x.permute(0, 2, 3, 1).contiguous())

torch.manual_seed(0)
for channels, outputs, kernel, stride, residual, relu in (
    (32, 64, 1, 1, False, True), (64, 32, 3, 1, True, True),
    (32, 64, 3, 2, False, False), (32, 32, 1, 2, True, False),
):
    x = torch.randn(2, channels, 7, 9)
    weight = torch.randn(outputs, channels, kernel, kernel) / (channels * kernel**2) ** 0.5
    layer = layers.Layer(weight, torch.randn(outputs), stride, kernel // 2)
    expected = functional.conv2d(
        x.double(), weight.double(), layer.bias.double(), stride, kernel // 2)
    added = torch.randn(expected.shape)
    expected = expected + added.double() if residual else expected
    expected = expected.relu() if relu else expected
    found = networks.convolve(
        pairs(x), layers.pair(layer), pairs(added) if residual else None,
        relu=relu, tiles=networks.Tiles(32, 32, 32, 4, 2))
    check(found, expected)

x = torch.randn(2, 64, 7, 10)
check(networks.max_pool(pairs(x)), functional.max_pool2d(x, 3, 2, 1).double())

networks.IMAGE_HEIGHT, networks.IMAGE_WIDTH = 32, 24  # the last two rows of blocks are padding
stem = layers.Layer(torch.randn(64, 3, 7, 7) / 12, torch.randn(64), 2, 3)
pixels = torch.randint(0, 256, (2, 56, 48, 3), dtype=torch.uint8)
small = networks.PairNetwork.__new__(networks.PairNetwork)
small._mean, small._inverse_std = torch.tensor(PIXEL_MEAN), 1 / torch.tensor(PIXEL_STD)
small._blocked = torch.zeros(2, 2, 16 + 3, 12 + 3, 16, dtype=torch.half)
normal = networks.Float32Network._prepare(pixels)
expected = functional.conv2d(normal.double(), stem.weight.double(), stem.bias.double(), 2, 3)
found = networks.convolve(small._prepare(pixels), layers.pair(layers.blocked_stem(stem)),
                          tiles=networks.Tiles(32, 32, 32, 4, 2))
check(found, expected.relu())
print("equal")
"""

TENSOR_CORES = """
import numpy as np
import torch
from torch.nn import functional
from triton.runtime import interpreter
from bevformer_eval.fast import layers, networks

def truncated(values):
    return (values.view(np.int64) & ~((1 << 29) - 1)).view(np.float64)

def dot(self, a, b, total, *_):
    # As the tensor cores add: sixteen exact products at a time, then rounding toward zero.
    result = total.data.astype(np.float64)
    left, right = a.data.astype(np.float64), b.data.astype(np.float64)
    for begin in range(0, left.shape[1], 16):
        part = left[:, begin : begin + 16] @ right[begin : begin + 16]
        result = truncated(result + part)
    return interpreter.TensorHandle(result.astype(np.float32), total.dtype.scalar)

interpreter.InterpreterBuilder.create_dot = dot
torch.manual_seed(0)
x = torch.randn(1, 4, 4, 4096).relu()
weight = torch.randn(32, 4096, 1, 1) / 64
layer = layers.Layer(weight, torch.zeros(32), 1, 0)
expected = functional.conv2d(x.permute(0, 3, 1, 2).double(), weight.double())
found = networks.convolve(layers.split(x), layers.pair(layer), relu=False,
                          tiles=networks.Tiles(16, 32, DEPTH, 4, 2))
error = layers.join(found).permute(0, 3, 1, 2).double() - expected
print(float(error.norm() / expected.norm()))
"""


def _interpreted(program: str) -> str:
    """Return what a program prints under Triton's interpreter, in a process of its own."""
    pytest.importorskip("triton")
    environment = {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_kernels_equal_float64_in_tritons_interpreter() -> None:
    assert _interpreted(INTERPRETED) == "equal\n"


def test_sums_are_too_short_for_the_tensor_cores_rounding_to_show() -> None:
    depth = choose_tiles(128).depth
    short, long = (
        float(_interpreted(TENSOR_CORES.replace("DEPTH", str(d)))) for d in (depth, 4096)
    )
    assert short < 3e-7
    assert long > 10 * short  # the error that is kept away is there in the first place
