"""Convolutions with their normalisation folded in, as data for either way to compute them."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from bevformer_eval.model.backbone import FPN, Bottleneck, ResNet50

# Weights are scaled by powers of two to below this: their low halves stay normal numbers.
_TOP = 2.0**8


class Layer(NamedTuple):
    """A convolution: float32 weight (O, C, KH, KW) and bias (O,), square stride and padding."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int


class Block(NamedTuple):
    """A residual block: three convolutions, and the one on the shortcut where sizes change."""

    first: Layer
    middle: Layer
    last: Layer
    shortcut: Optional[Layer]


class Layers(NamedTuple):
    """The whole image network."""

    stem: Layer
    blocks: Tuple[Block, ...]
    lateral: Layer
    pyramid: Layer


def fold(backbone: ResNet50, neck: FPN) -> Layers:
    """Return the convolutions with the frozen batch normalisation in their weights."""
    blocks = [block for number in range(1, 5) for block in getattr(backbone, f"layer{number}")]
    return Layers(
        _normalised(backbone.conv1, backbone.bn1),
        tuple(_block(block) for block in blocks),
        _plain(neck.lateral_convs[0].conv),
        _plain(neck.fpn_convs[0].conv),
    )


def _block(block: Bottleneck) -> Block:
    down = block.downsample
    shortcut = _normalised(down[0], down[1]) if isinstance(down, nn.Sequential) else None
    return Block(
        _normalised(block.conv1, block.bn1),
        _normalised(block.conv2, block.bn2),
        _normalised(block.conv3, block.bn3),
        shortcut,
    )


def _normalised(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Layer:
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.double() * factor[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * factor
    return _layer(conv, weight, bias)


def _plain(conv: nn.Conv2d) -> Layer:
    return _layer(conv, conv.weight, conv.bias)


def _layer(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> Layer:
    whole = (weight.detach().float(), bias.detach().float())
    return Layer(*whole, stride=conv.stride[0], padding=conv.padding[0])


class PairLayer(NamedTuple):
    """A convolution for `kernels.convolve`: halves (2, O, KH, KW, C), scale and bias (O,)."""

    weight: Tensor
    scale: Tensor
    bias: Tensor
    stride: int
    padding: int


def pair(layer: Layer) -> PairLayer:
    """Return the layer with each output channel's weights as pairs of halves of full range."""
    weight = layer.weight.double().permute(0, 2, 3, 1)
    largest = weight.flatten(1).abs().amax(1).clamp(min=2.0**-60)
    scale = torch.exp2(torch.floor(torch.log2(_TOP / largest)))
    halves = split(weight * scale[:, None, None, None])
    return PairLayer(halves, (1 / scale).float(), layer.bias, layer.stride, layer.padding)


def split(values: Tensor) -> Tensor:
    """Return values as pairs of halves, the highs and the lows in a new first dimension."""
    high = values.half()
    return torch.stack((high, (values - high.to(values.dtype)).half())).contiguous()


def join(pairs: Tensor) -> Tensor:
    """Return the float32 values of pairs."""
    return pairs[0].float() + pairs[1].float()


def blocked_stem(layer: Layer) -> Layer:
    """Return the 7x7 convolution with stride 2 as one over `kernels.prepare`'s 2x2 blocks.

    Its weight is (O, 64, 4, 1): four blocks of a row, 16 channels each, lie one after the other.
    Input row 2o - 3 + k of output row o is row (k + 1) % 2 of block o - 2 + (k + 1) // 2.
    """
    blocked = layer.weight.new_zeros(len(layer.weight), 4, 4, 16)  # block row, block column
    rows: List[Tuple[int, int]] = [divmod(k + 1, 2) for k in range(7)]
    for y, (block_y, in_y) in enumerate(rows):
        for x, (block_x, in_x) in enumerate(rows):
            channel = in_y * 6 + in_x * 3
            blocked[:, block_y, block_x, channel : channel + 3] = layer.weight[:, :, y, x]
    weight = blocked.flatten(2)[..., None].permute(0, 2, 1, 3)
    return Layer(weight, layer.bias, stride=1, padding=0)
