"""Triton kernels for float32 results at half-precision speed: every number is a pair of halves.

A value is held as high + low, two float16 with about 22 bits together. A product of pairs is
high * high + high * low + low * high on the tensor cores; what is left out is 2^-22 of it. Tensor
cores add in float32 but round toward zero, so that a long sum shrinks by up to 2^-23 an addition:
only short sums are left to them, and added to the total where rounding is to the nearest. (Ootomo
and Yokota, "Recovering single precision accuracy from Tensor Cores", 2022.) Activations are
(2, N, H, W, C): the plane of the highs, then the lows.
"""

# A kernel's arguments are pointers, sizes and constants without Python types, in capitals where the
# literature has them so, and there are as many as the hardware needs.
# ruff: noqa: ANN001, ANN201, ANN202, E741, N803, PLR0913, PLR0917, D401

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _split(value):
    high = value.to(tl.float16)
    return high, (value - high.to(tl.float32)).to(tl.float16)


@triton.jit
def _tile(tiles_m, tiles_n, GROUP: tl.constexpr):
    """Return this program's tile; neighbours share columns, so that they meet in the L2 cache."""
    program = tl.program_id(0)
    first = program // (GROUP * tiles_n) * GROUP
    height = tl.minimum(tiles_m - first, GROUP)
    within = program % (GROUP * tiles_n)
    return first + within % height, within // height


@triton.jit
def convolve(
    x,
    w,
    scale,
    bias,
    residual,
    y,
    M,
    O,
    OH,
    OW,
    H,
    W,
    C,
    stride_n,
    stride_y,
    stride_x,
    x_plane,
    w_plane,
    y_plane,
    KH: tl.constexpr,
    KW: tl.constexpr,
    STRIDE: tl.constexpr,
    PAD: tl.constexpr,
    RELU: tl.constexpr,
    RESIDUAL: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Store relu(scale * conv(x, w) + bias + residual) in y, an implicit matrix product of pairs.

    w is (2, O, KH, KW, C). BK numbers of the inner dimension are summed on the tensor cores.
    """
    tile_m, tile_n = _tile(tl.cdiv(M, BM), O // BN, GROUP)
    rows = tile_m * BM + tl.arange(0, BM)
    inside = rows < M
    image = rows // (OH * OW)
    rest = rows % (OH * OW)
    top = rest // OW * STRIDE - PAD
    left = rest % OW * STRIDE - PAD
    columns = tile_n * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    x_tile = x + (image * stride_n + top * stride_y + left * stride_x)[:, None] + depth[None, :]
    w_tile = w + columns[None, :] * (KH * KW * C) + depth[:, None]
    a_tap = C // BK
    total = tl.zeros((BM, BN), tl.float32)
    steps = KH * KW * a_tap
    for step in range(steps):
        tap = step // a_tap
        dy = tap // KW
        dx = tap % KW
        place = dy * stride_y + dx * stride_x + (step - tap * a_tap) * BK
        seen = inside & (top + dy >= 0) & (top + dy < H) & (left + dx >= 0) & (left + dx < W)
        a_high = tl.load(x_tile + place, mask=seen[:, None], other=0.0)
        a_low = tl.load(x_tile + (x_plane + place), mask=seen[:, None], other=0.0)
        b_high = tl.load(w_tile + step * BK)
        b_low = tl.load(w_tile + (w_plane + step * BK))
        part = tl.dot(a_low, b_high)
        part = tl.dot(a_high, b_low, part)
        part = tl.dot(a_high, b_high, part)
        total += part  # outside of the tensor cores, which would round toward zero
    value = total * tl.load(scale + columns)[None, :] + tl.load(bias + columns)[None, :]
    target = rows[:, None] * O + columns[None, :]
    if RESIDUAL:
        value += tl.load(residual + target, mask=inside[:, None], other=0.0).to(tl.float32)
        low = tl.load(residual + (y_plane + target), mask=inside[:, None], other=0.0)
        value += low.to(tl.float32)
    if RELU:
        value = tl.maximum(value, 0.0)
    high, low = _split(value)
    tl.store(y + target, high, mask=inside[:, None])
    tl.store(y + (y_plane + target), low, mask=inside[:, None])


@triton.jit
def max_pool(x, y, M, OH, OW, H, W, x_plane, y_plane, C: tl.constexpr, BM: tl.constexpr):
    """The 3x3 maximum with stride 2 and padding 1 of pairs."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    inside = rows < M
    image = rows // (OH * OW)
    rest = rows % (OH * OW)
    top = rest // OW * 2 - 1
    left = rest % OW * 2 - 1
    channels = tl.arange(0, C)
    best = tl.full((BM, C), float("-inf"), tl.float32)
    for dy in tl.static_range(3):
        for dx in tl.static_range(3):
            row = top + dy
            column = left + dx
            seen = (inside & (row >= 0) & (row < H) & (column >= 0) & (column < W))[:, None]
            place = ((image * H + row) * W + column)[:, None] * C + channels[None, :]
            high = tl.load(x + place, mask=seen, other=float("-inf")).to(tl.float32)
            low = tl.load(x + (x_plane + place), mask=seen, other=0.0).to(tl.float32)
            best = tl.maximum(best, high + low)
    high, low = _split(best)
    target = rows[:, None] * C + channels[None, :]
    tl.store(y + target, high, mask=inside[:, None])
    tl.store(y + (y_plane + target), low, mask=inside[:, None])


@triton.jit
def prepare(pixels, mean, inverse_std, y, HEIGHT, WIDTH, ROWS, COLUMNS, y_plane, BM: tl.constexpr):
    """Halve and normalise BGR bytes (N, HEIGHT, WIDTH, 3), and store 2x2 results as 12 channels.

    y is (2, N, ROWS, COLUMNS, 16) with a border of two blocks before and one after, left alone. The
    7x7 convolution with stride 2 becomes a 4x4 one with stride 1 over these blocks.
    """
    image = tl.program_id(1)
    blocks = WIDTH // 4
    block = tl.program_id(0) * BM + tl.arange(0, BM)
    inside = block < HEIGHT // 4 * blocks
    row = (block // blocks)[:, None]
    column = (block % blocks)[:, None]
    channel = tl.arange(0, 16)[None, :]
    real = inside[:, None] & (channel < 12)
    color = channel % 3  # red, green, blue
    source_row = row * 4 + channel // 6 * 2
    source_column = column * 4 + channel % 6 // 3 * 2
    place = ((image * HEIGHT + source_row) * WIDTH + source_column) * 3 + (2 - color)
    total = tl.load(pixels + place, mask=real, other=0).to(tl.float32)
    total += tl.load(pixels + (place + 3), mask=real, other=0).to(tl.float32)
    total += tl.load(pixels + (place + WIDTH * 3), mask=real, other=0).to(tl.float32)
    total += tl.load(pixels + (place + WIDTH * 3 + 3), mask=real, other=0).to(tl.float32)
    middle = tl.load(mean + color)
    value = tl.where(real, (total * 0.25 - middle) * tl.load(inverse_std + color), 0.0)
    high, low = _split(value)
    target = ((image * ROWS + row + 2) * COLUMNS + column + 2) * 16 + channel
    tl.store(y + target, high, mask=inside[:, None])
    tl.store(y + (y_plane + target), low, mask=inside[:, None])
