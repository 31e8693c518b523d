"""A batch of frames on one device: decoded bytes in, boxes out, the previous BEVs kept there."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from bevformer_eval.data import CAMERAS, CAN_BUS_SIZE, SOURCE_HEIGHT, SOURCE_WIDTH
from bevformer_eval.errors import HostError
from bevformer_eval.fast.layers import fold
from bevformer_eval.fast.networks import Float32Network, PairNetwork
from bevformer_eval.model import BEVFormerTiny
from bevformer_eval.model.coder import best
from bevformer_eval.model.constants import (
    BEV_CELLS,
    EMBED_DIMS,
    FEATURE_HEIGHT,
    FEATURE_WIDTH,
    MAX_DETECTIONS,
)

PRECISIONS = ("auto", "pairs", "float32")
# Features of the two networks differ by rounding alone: 3e-6 of the largest on an H200, where sums
# left to the tensor cores as a whole differ by 4e-5.
_AGREEMENT = 2e-5
_TENSOR_CORES = (8, 0)  # the first compute capability for which the kernels were written
Network = Callable[[Tensor], Tensor]
_COLUMNS = 12  # nine of the box, score, label, kept


class Inputs(NamedTuple):
    """What a step needs besides the images; one row a frame.

    lidar2img: (B, 6, 4, 4) float64, scaled as the images; can_bus: (B, 18) float64, as differences;
    has_prev: bool (B,), whether the frame of this row in the last step was the scene's previous.
    """

    lidar2img: np.ndarray
    can_bus: np.ndarray
    has_prev: np.ndarray


class Ticket(NamedTuple):
    """A step that is under way; its pixels may be overwritten when its result is there."""

    packed: Tensor
    events: Optional[Tuple[Any, Any]]  # begun, done; None on the CPU
    seconds: float

    def result(self) -> Tuple[np.ndarray, float]:
        """Return (B, 300, 12) (nine of the box, score, label, kept) and the forward's seconds."""
        if self.events is None:
            return self.packed.numpy(), self.seconds
        begun, done = self.events
        done.synchronize()
        return self.packed.numpy(), begun.elapsed_time(done) / 1e3


class Engine:
    """BEVFormer-tiny for `batch` independent scenes; `step` advances each of them by a frame.

    precision: `pairs` (the tensor cores at float32's accuracy, see kernels.py), `float32`, or
    `auto`: pairs where they run and agree with float32. `note` says why `auto` chose float32.
    """

    def __init__(
        self, state: Mapping[str, Tensor], batch: int, device: str, precision: str = "auto"
    ) -> None:
        self.batch, self.device, self.note = batch, torch.device(device), ""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # Triton and graphs work on the current device
        model = BEVFormerTiny()
        model.load_state_dict(dict(state), strict=True)
        self._head = model.eval().to(self.device).pts_bbox_head
        self._layers = fold(model.img_backbone, model.img_neck)
        self._allocate()
        with torch.no_grad():
            self._network = self._choose_network(precision)
            self._graph = self._capture() if self.device.type == "cuda" else None

    def pixels(self) -> Tensor:
        """Return a new host buffer for a step's images: BGR bytes (B, 6, 900, 1600, 3)."""
        size = (self.batch, len(CAMERAS), SOURCE_HEIGHT, SOURCE_WIDTH, 3)
        return torch.zeros(size, dtype=torch.uint8, pin_memory=self.device.type == "cuda")

    @torch.no_grad()
    def step(self, pixels: Tensor, inputs: Inputs) -> Ticket:
        """Start the next frame of each scene; results are fetched from the ticket, in order."""
        if self._graph is None:
            return self._step_now(pixels, inputs)
        main = torch.cuda.current_stream(self.device)
        uploaded, begun, done = (torch.cuda.Event(enable_timing=True) for _ in range(3))
        self._turn = 1 - self._turn
        staging = self._staging[self._turn]
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(self._free[self._turn])
            staging.copy_(pixels, non_blocking=True)
            uploaded.record(self._copies)
        main.wait_event(uploaded)
        self._pixels.copy_(staging)
        self._free[self._turn].record(main)
        self._set_inputs(inputs)
        begun.record(main)
        self._graph.replay()
        packed = torch.empty(self._packed.shape, pin_memory=True)
        packed.copy_(self._packed, non_blocking=True)
        done.record(main)
        return Ticket(packed, (begun, done), 0.0)

    def _step_now(self, pixels: Tensor, inputs: Inputs) -> Ticket:
        start = time.perf_counter()
        self._pixels.copy_(pixels)
        self._set_inputs(inputs)
        self._forward()
        return Ticket(self._packed.clone(), None, time.perf_counter() - start)

    def _allocate(self) -> None:
        """Make the buffers that a captured graph reads and writes."""
        batch, device = self.batch, self.device
        size = (batch, len(CAMERAS), SOURCE_HEIGHT, SOURCE_WIDTH, 3)
        self._pixels = torch.zeros(size, dtype=torch.uint8, device=device)
        self._lidar2img = torch.eye(4, device=device).double().repeat(batch, len(CAMERAS), 1, 1)
        self._can_bus = torch.zeros(batch, CAN_BUS_SIZE, dtype=torch.float64, device=device)
        self._has_prev = torch.zeros(batch, dtype=torch.bool, device=device)
        self._bev = torch.zeros(batch, BEV_CELLS, EMBED_DIMS, device=device)
        self._packed = torch.zeros(batch, MAX_DETECTIONS, _COLUMNS, device=device)
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)
            self._staging = [torch.empty_like(self._pixels) for _ in range(2)]
            self._free = [torch.cuda.Event() for _ in range(2)]
            self._turn = 0

    def _set_inputs(self, inputs: Inputs) -> None:
        for buffer, values in zip((self._lidar2img, self._can_bus, self._has_prev), inputs):
            host = torch.from_numpy(values)
            # Only a copy from pinned memory does not wait for the step before.
            host = host if self._graph is None else host.pin_memory()
            buffer.copy_(host, non_blocking=True)

    def _forward(self) -> None:
        """Compute the buffers' boxes and replace the previous BEVs."""
        features = self._network(self._pixels.flatten(0, 1))
        views = features.reshape(
            self.batch, len(CAMERAS), FEATURE_HEIGHT, FEATURE_WIDTH, EMBED_DIMS
        ).permute(0, 1, 4, 2, 3)
        history = self._head.history(self._can_bus, self._bev, self._has_prev)
        output = self._head(views, self._lidar2img, history)
        self.output = output
        found = best(output)
        rest = torch.stack((found.scores, found.labels.float(), found.kept.float()), -1)
        self._packed.copy_(torch.cat((found.boxes, rest), -1))
        self._bev.copy_(output.bev)

    def _capture(self) -> Any:
        """Return the forward as a CUDA graph, which takes away its ~700 launches."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(2):  # compiles the kernels, chooses cuDNN's algorithms
                self._forward()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        torch.cuda.empty_cache()  # the graph has a memory pool of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._forward()
        return graph

    def _choose_network(self, precision: str) -> Network:
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        if precision == "float32":
            return self._float32()
        problem = self._why_no_pairs()
        if not problem:
            pairs = PairNetwork(self._layers, self.batch * len(CAMERAS), self.device)
            problem = self._disagreement(pairs)
            if not problem:
                self.precision = "pairs"
                return pairs
        if precision == "pairs":
            raise HostError(f"pairs of halves cannot be used: {problem}", "use --precision float32")
        self.note = problem
        return self._float32()

    def _float32(self) -> Network:
        self.precision = "float32"
        return Float32Network(self._layers)

    def _why_no_pairs(self) -> str:
        if self.device.type != "cuda":
            return "there is no GPU"
        capability = torch.cuda.get_device_capability(self.device)
        if capability < _TENSOR_CORES:
            return f"compute capability {capability[0]}.{capability[1]} is below 8.0"
        try:
            import triton  # noqa: F401
        except ImportError as error:
            return f"Triton does not import: {error}"
        return ""

    def _disagreement(self, pairs: Network) -> str:
        """Return what is wrong with the pairs' features of random images, or ''."""
        generator = torch.Generator(self.device).manual_seed(0)
        self._pixels.random_(0, 256, generator=generator)
        try:
            found = pairs(self._pixels.flatten(0, 1))[: len(CAMERAS)]
        except Exception as error:  # noqa: BLE001 - Triton raises whatever its compilers do
            return f"its kernels do not run: {type(error).__name__}: {str(error).strip()[:200]!r}"
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            expected = Float32Network(self._layers)(self._pixels[0])
        error = float((found - expected).abs().max() / expected.abs().max())
        return "" if error <= _AGREEMENT else f"its features differ from float32 by {error:.1e}"
