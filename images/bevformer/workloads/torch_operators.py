"""torch's operators on the CPU by family, each held against a definition or float64."""

from __future__ import annotations

import re
from functools import partial
from typing import Callable, TypeVar

import torch
from torch.nn import functional

KINDS = {torch.float32: 2e-4, torch.float64: 1e-9, torch.bfloat16: 5e-2, torch.float16: 5e-3}
FUNCTIONS = (
    "exp", "expm1", "log", "log10", "log2", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "tanh",
    "sinh", "cosh", "asin", "acos", "atan", "sigmoid", "erf", "erfc", "erfinv", "lgamma", "digamma",
    "floor", "ceil", "round", "trunc", "frac", "abs", "neg", "reciprocal",
)  # fmt: skip
NOT_OFFERED = re.compile(
    "not (yet )?(implemented|supported)|unsupported|expected tensor for arg", re.IGNORECASE
)
Found = TypeVar("Found")
torch.manual_seed(0)


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Fail where two results differ by more than the type allows."""
    scale = float(expected.double().abs().max()) + 1
    away = float((found.double() - expected.double()).abs().max())
    assert away <= tolerance * scale, f"{away} of {scale}"


def offered(function: Callable[[], Found]) -> Found | None:
    """Return a function's result, or None where this torch, on this CPU, says it has none."""
    try:
        return function()
    except RuntimeError as error:
        if not NOT_OFFERED.search(str(error)):
            raise
        return None


def elementwise() -> None:
    """Functions of one number, in every type, on lengths with and without a rest."""
    for kind, tolerance in KINDS.items():
        for size in (3, 64, 1001):
            data = (torch.rand(size) * 0.8 + 0.1).to(kind)
            for name in FUNCTIONS:
                found = offered(partial(getattr(torch, name), data))
                if found is not None:  # an old torch has no halves on the CPU
                    close(found, getattr(torch, name)(data.double()), tolerance)


def products() -> None:
    """Matrix products of every type and of integers."""
    for kind, tolerance in KINDS.items():
        for rows, inner, columns in ((1, 7, 5), (33, 65, 17), (128, 96, 64)):
            a, b = torch.randn(rows, inner).to(kind), torch.randn(inner, columns).to(kind)
            found = offered(partial(torch.matmul, a, b))
            if found is None:
                continue
            for one in (found, torch.bmm(a[None], b[None])[0], torch.addmm(found * 0, a, b)):
                close(one, a.double() @ b.double(), tolerance * 4)
    a = torch.randint(-9, 9, (20, 30))
    assert torch.equal(a @ a.T, (a.double() @ a.T.double()).long())


def convolutions() -> None:
    """Convolutions of one to three dimensions: grouped, depthwise, strided, dilated, transposed."""
    for dimensions in (1, 2, 3):
        convolve = getattr(functional, f"conv{dimensions}d")
        transposed = getattr(functional, f"conv_transpose{dimensions}d")
        for groups in (1, 4, 16):
            for options in ({}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}):
                x = torch.randn(2, 16, *[9] * dimensions)
                w = torch.randn(32, 16 // groups, *[3] * dimensions)
                found = convolve(x, w, groups=groups, **options)
                close(found, convolve(x.double(), w.double(), groups=groups, **options), 1e-3)
        x, w = torch.randn(2, 16, *[5] * dimensions), torch.randn(16, 8, *[3] * dimensions)
        close(transposed(x, w, stride=2), transposed(x.double(), w.double(), stride=2), 1e-3)


def transforms() -> None:
    """Fourier transforms of one to three dimensions, complex and real, good lengths and primes."""
    for kind, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
        for size in (
            (8,),
            (97,),
            (1024,),
            (4, 4),
            (16, 12),
            (31, 37),
            (64, 64),
            (8, 8, 8),
            (12, 10, 14),
            (16, 32, 16),
        ):
            real = torch.randn(3, *size, dtype=kind)
            whole = torch.complex(real, torch.randn_like(real))
            dims = tuple(range(1, len(size) + 1))
            again = torch.fft.ifftn(torch.fft.fftn(whole, dim=dims), dim=dims)
            close(torch.view_as_real(again), torch.view_as_real(whole), tolerance)
            close(
                torch.fft.irfftn(torch.fft.rfftn(real, dim=dims), s=size, dim=dims), real, tolerance
            )


def decompositions() -> None:
    """Decompositions, multiplied together again."""
    for kind, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
        for size in (3, 40):
            a = torch.randn(2, size, size, dtype=kind)
            u, s, v = torch.linalg.svd(a)
            close(u @ torch.diag_embed(s) @ v, a, tolerance)
            q, r = torch.linalg.qr(a)
            close(q @ r, a, tolerance)
            symmetric = a @ a.transpose(1, 2) + torch.eye(size, dtype=kind)
            low = torch.linalg.cholesky(symmetric)
            close(low @ low.transpose(1, 2), symmetric, tolerance)
            w, vectors = torch.linalg.eigh(symmetric)
            close(vectors @ torch.diag_embed(w) @ vectors.transpose(1, 2), symmetric, tolerance)
            close(
                symmetric @ torch.linalg.inv(symmetric),
                torch.eye(size, dtype=kind).expand(2, -1, -1),
                10 * tolerance,
            )
            close(symmetric @ torch.linalg.solve(symmetric, a), a, 10 * tolerance)


def reductions() -> None:
    """Take sums, extremes, order and statistics of every type over both dimensions."""
    for kind, tolerance in KINDS.items():
        a = torch.randn(37, 130).to(kind)
        for dim in (0, 1):
            close(a.sum(dim), a.double().sum(dim), 10 * tolerance)
            close(a.mean(dim), a.double().mean(dim), 10 * tolerance)
            close(a.max(dim)[0], a.double().max(dim)[0], 0)
            close(a.sort(dim)[0], a.double().sort(dim)[0], 0)
            close(a.topk(5, dim)[0], a.double().topk(5, dim)[0], 0)
            close(a.float().softmax(dim), a.double().softmax(dim), 1e-5)
            close(a.float().log_softmax(dim), a.double().log_softmax(dim), 1e-5)
            close(a.float().cumsum(dim), a.double().cumsum(dim), 1e-5)
            close(a.float().var(dim), a.double().var(dim), 1e-5)
    counts = torch.bincount(torch.arange(50) % 7)
    assert counts.tolist() == [8] + [7] * 6


def layers() -> None:
    """Normalisation, pooling, interpolation, sampling, attention and a recurrent layer."""
    x = torch.randn(2, 8, 12, 14)
    cases = {
        "layer_norm": lambda t: functional.layer_norm(t, t.shape[1:]),
        "group_norm": lambda t: functional.group_norm(t, 4),
        "batch_norm": lambda t: functional.batch_norm(t, None, None, training=True),
        "max_pool": lambda t: functional.max_pool2d(t, 3, 2, 1),
        "avg_pool": lambda t: functional.avg_pool2d(t, 3, 2, 1),
        "adaptive": lambda t: functional.adaptive_avg_pool2d(t, (3, 5)),
        "bilinear": lambda t: functional.interpolate(
            t, scale_factor=2, mode="bilinear", align_corners=False
        ),
        "bicubic": lambda t: functional.interpolate(
            t, scale_factor=2, mode="bicubic", align_corners=False
        ),
        "nearest": lambda t: functional.interpolate(t, scale_factor=2),
        "grid": lambda t: functional.grid_sample(
            t, t.new_zeros(2, 5, 5, 2) + 0.3, align_corners=False
        ),
        "gelu": functional.gelu,
        "silu": functional.silu,
        "softplus": functional.softplus,
        "pixel_shuffle": lambda t: functional.pixel_shuffle(t, 2),
    }
    for function in cases.values():
        close(function(x), function(x.double()), 1e-4)
    attention = torch.nn.MultiheadAttention(16, 4).eval()
    recurrent = torch.nn.LSTM(16, 8, bidirectional=True)
    data = torch.randn(11, 2, 16)
    with torch.no_grad():
        found = (attention(data, data, data)[0], recurrent(data)[0])
        attention.double(), recurrent.double()
        data = data.double()
        close(found[0], attention(data, data, data)[0], 1e-4)
        close(found[1], recurrent(data)[0], 1e-4)


def embeddings() -> None:
    """Bags of rows: every type, index and way of summing; rows of one number too."""
    for kind, tolerance in ((torch.float32, 1e-5), (torch.float16, 5e-3)):
        for width in (1, 8, 17, 128):
            table = torch.randn(40, width).to(kind)
            for index in (torch.int32, torch.int64):
                rows = torch.randint(0, 40, (60,)).to(index)
                starts = torch.arange(0, 60, 6).to(index)
                for mode in ("sum", "mean"):
                    bag = partial(functional.embedding_bag, rows, table, starts, mode=mode)
                    found = offered(bag)
                    if found is not None:
                        picked = table.double()[rows.long()].view(10, 6, width)
                        close(found, getattr(picked, mode)(1), tolerance)


def quantised() -> None:
    """Eight-bit numbers, by the engine for x86 where this CPU has what it needs, else qnnpack.

    Which one torch chooses by itself has a workload of its own.
    """
    if not hasattr(torch, "quantize_per_tensor"):
        return  # a torch that has left it out
    engines = torch.backends.quantized.supported_engines
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in engines else "qnnpack"
    x = torch.randn(6, 16)
    small = torch.quantize_per_tensor(x, 0.05, 64, torch.quint8)
    close(small.dequantize(), x.clamp(-3.2, 9.55), 0.03)
    weight = torch.quantize_per_tensor(torch.randn(8, 16), 0.05, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, torch.zeros(8))
    expected = small.dequantize() @ weight.dequantize().T
    found = torch.ops.quantized.linear(small, packed, 0.2, 128).dequantize()
    close(found, expected.clamp(-25.6, 25.4), 0.05)
    close(torch.ops.quantized.linear_dynamic(x, packed), x @ weight.dequantize().T, 0.05)
    for dimensions in (2, 3):
        for groups in (1, 16):
            convolution(dimensions, groups)


def convolution(dimensions: int, groups: int) -> None:
    """Hold a quantised convolution against the same with floats."""
    plain = getattr(functional, f"conv{dimensions}d")
    size = [8] * dimensions
    x = torch.quantize_per_tensor(torch.randn(1, 16, *size), 0.05, 64, torch.quint8)
    w = torch.randn(16, 16 // groups, *[3] * dimensions)
    w = torch.quantize_per_tensor(w, 0.05, 0, torch.qint8)
    ones = [1] * dimensions
    pack = getattr(torch.ops.quantized, f"conv{dimensions}d_prepack")
    packed = offered(lambda: pack(w, torch.zeros(16), ones, ones, ones, groups))
    if packed is not None:
        found = getattr(torch.ops.quantized, f"conv{dimensions}d")(x, packed, 0.6, 128)
        expected = plain(x.dequantize(), w.dequantize(), padding=1, groups=groups)
        close(found.dequantize(), expected.clamp(-76.8, 76.2), 0.05)


def gradients() -> None:
    """Hold a small network's gradient against differences."""
    network = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    ).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))


parts = (
    elementwise,
    products,
    convolutions,
    transforms,
    decompositions,
    reductions,
    layers,
    embeddings,
    quantised,
    gradients,
)
for part in parts:
    part()
