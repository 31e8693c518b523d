"""The image network, from decoded bytes to camera features: in pairs of halves, or in float32."""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch.nn import functional

from bevformer_eval.data import IMAGE_HEIGHT, IMAGE_WIDTH, PIXEL_MEAN, PIXEL_STD
from bevformer_eval.fast import layers
from bevformer_eval.fast.layers import Block, Layer, Layers, PairLayer


class Float32Network:
    """The network with cuDNN's (or the CPU's) float32 convolutions."""

    def __init__(self, network: Layers) -> None:
        self._network = network

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 15, 25, 256) of BGR bytes (N, 900, 1600, 3)."""
        net = self._network
        x = functional.relu(_convolve(self._prepare(pixels), net.stem), inplace=True)
        x = functional.max_pool2d(x, 3, 2, padding=1)
        for block in net.blocks:
            x = _residual(x, block)
        return _convolve(_convolve(x, net.lateral), net.pyramid).permute(0, 2, 3, 1)

    @staticmethod
    def _prepare(pixels: Tensor) -> Tensor:
        """Halve, normalise and pad: halving before normalising differs by the last digit only."""
        total = pixels[:, 0::2, 0::2].float()
        for row, column in ((0, 1), (1, 0), (1, 1)):
            total += pixels[:, row::2, column::2]
        red_first = total.permute(0, 3, 1, 2).flip(1)
        channels = zip(red_first.unbind(1), PIXEL_MEAN, PIXEL_STD)
        normal = torch.stack([(c * 0.25 - mean) * (1 / std) for c, mean, std in channels], 1)
        return functional.pad(normal, (0, 0, 0, IMAGE_HEIGHT - normal.shape[2]))


def _convolve(x: Tensor, layer: Layer) -> Tensor:
    return functional.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def _residual(x: Tensor, block: Block) -> Tensor:
    out = functional.relu(_convolve(x, block.first), inplace=True)
    out = functional.relu(_convolve(out, block.middle), inplace=True)
    shortcut = x if block.shortcut is None else _convolve(x, block.shortcut)
    return functional.relu(_convolve(out, block.last) + shortcut, inplace=True)


class Tiles(NamedTuple):
    """How a convolution is cut into tiles; `depth` numbers are summed on the tensor cores."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


def choose_tiles(outputs: int) -> Tiles:
    """Return the tiles for a convolution's output channels, a multiple of 64.

    They were the fastest of those that tools/bench_gpu.py tries on an H200, and their 72 KiB of
    shared memory fit every GPU from compute capability 8.0 on. A depth of 32 keeps the accuracy.
    """
    return Tiles(128, 64, 32, 4, 3) if outputs % 128 else Tiles(64, 128, 32, 4, 3)


class PairNetwork:
    """The network on the tensor cores, in pairs of halves (see kernels.py)."""

    def __init__(self, network: Layers, images: int, device: torch.device) -> None:
        self._stem = layers.pair(layers.blocked_stem(network.stem))
        self._blocks = [
            Block(*(layer and layers.pair(layer) for layer in b)) for b in network.blocks
        ]
        self._lateral, self._pyramid = layers.pair(network.lateral), layers.pair(network.pyramid)
        self._mean = torch.tensor(PIXEL_MEAN, device=device)
        self._inverse_std = 1 / torch.tensor(PIXEL_STD, device=device)
        # Two empty blocks before and one after: the convolution's padding. The last 15 rows of
        # blocks stay empty too: they pad 450 rows to 480.
        rows, columns = IMAGE_HEIGHT // 2 + 3, IMAGE_WIDTH // 2 + 3
        self._blocked = torch.zeros(2, images, rows, columns, 16, dtype=torch.half, device=device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 15, 25, 256) of BGR bytes (N, 900, 1600, 3)."""
        x = max_pool(convolve(self._prepare(pixels), self._stem))
        for block in self._blocks:
            shortcut = x if block.shortcut is None else convolve(x, block.shortcut, relu=False)
            out = convolve(convolve(x, block.first), block.middle)
            x = convolve(out, block.last, shortcut)
        return layers.join(
            convolve(convolve(x, self._lateral, relu=False), self._pyramid, relu=False)
        )

    def _prepare(self, pixels: Tensor) -> Tensor:
        from bevformer_eval.fast import kernels  # Triton is not everywhere

        images, height, width, _ = pixels.shape
        blocked = self._blocked
        grid = (-(-(height // 4 * (width // 4)) // 128), images)
        kernels.prepare[grid](
            pixels,
            self._mean,
            self._inverse_std,
            blocked,
            height,
            width,
            *blocked.shape[2:4],
            blocked.stride(0),
            BM=128,
        )
        # Four neighbouring blocks of 16 channels are read as 64 channels, block by block.
        planes, images, rows, columns, channels = blocked.shape
        size = (planes, images, rows, columns - 3, 4 * channels)
        return blocked.as_strided(size, blocked.stride())


def convolve(
    x: Tensor,
    layer: PairLayer,
    residual: Optional[Tensor] = None,
    *,
    relu: bool = True,
    tiles: Optional[Tiles] = None,
) -> Tensor:
    """Return the convolution (2, N, OH, OW, O) of pairs x (2, N, H, W, C), C contiguous."""
    from bevformer_eval.fast import kernels  # Triton is not everywhere

    _, images, height, width, channels = x.shape
    _, outputs, kernel_y, kernel_x, _ = layer.weight.shape
    out_height = (height + 2 * layer.padding - kernel_y) // layer.stride + 1
    out_width = (width + 2 * layer.padding - kernel_x) // layer.stride + 1
    y = torch.empty(2, images, out_height, out_width, outputs, dtype=x.dtype, device=x.device)
    tiles = choose_tiles(outputs) if tiles is None else tiles
    rows = images * out_height * out_width
    grid = (-(-rows // tiles.rows) * (outputs // tiles.columns),)
    kernels.convolve[grid](
        x,
        layer.weight,
        layer.scale,
        layer.bias,
        y if residual is None else residual,
        y,
        rows,
        outputs,
        out_height,
        out_width,
        height,
        width,
        channels,
        *x.stride()[1:4],
        x.stride(0),
        layer.weight.stride(0),
        y.stride(0),
        KH=kernel_y,
        KW=kernel_x,
        STRIDE=layer.stride,
        PAD=layer.padding,
        RELU=relu,
        RESIDUAL=residual is not None,
        BM=tiles.rows,
        BN=tiles.columns,
        BK=tiles.depth,
        GROUP=8,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
    )
    return y


def max_pool(x: Tensor) -> Tensor:
    """Return the 3x3 maximum with stride 2 of pairs (2, N, H, W, 64)."""
    from bevformer_eval.fast import kernels  # Triton is not everywhere

    _, images, height, width, channels = x.shape
    out_height, out_width = (height + 1) // 2, (width + 1) // 2
    y = torch.empty(2, images, out_height, out_width, channels, dtype=x.dtype, device=x.device)
    rows = images * out_height * out_width
    kernels.max_pool[(-(-rows // 32),)](
        x,
        y,
        rows,
        out_height,
        out_width,
        height,
        width,
        x.stride(0),
        y.stride(0),
        C=channels,
        BM=32,
    )
    return y
