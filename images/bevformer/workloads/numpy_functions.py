"""NumPy's sorting, arithmetic, linear algebra and transforms, each held against a definition."""

from math import isnan

import numpy as np

RANDOM = np.random.default_rng(0)
NUMBERS = "bhilqBHILQefd"
SIZES = (7, 100, 5000)
FUNCTIONS = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arctan", "sinh",
    "cosh", "tanh", "sqrt", "cbrt", "square", "reciprocal",
)  # fmt: skip


def values(kind: str, size: int) -> np.ndarray:
    """Return random numbers of one type, positive so that every function is defined."""
    if np.dtype(kind).kind == "f":
        return RANDOM.uniform(0.25, 2, size).astype(kind)
    return RANDOM.integers(1, 100, size).astype(kind)


def sorting() -> None:
    """Sort, partition and search; with NaN, which takes a way of its own."""
    for kind in NUMBERS:
        for size in SIZES:
            data = values(kind, size)
            if np.dtype(kind).kind == "f":
                data[:: max(2, size // 5)] = np.nan
            expected = np.array(sorted(data.tolist(), key=lambda x: (isnan(x), x)), kind)
            middle = size // 2
            for method in ("quicksort", "stable", "heapsort"):
                assert np.array_equal(
                    np.sort(data, kind=method), expected, equal_nan=data.dtype.kind == "f"
                )
                order = np.argsort(data, kind=method)
                assert np.array_equal(data[order], expected, equal_nan=data.dtype.kind == "f")
            for found in (np.partition(data, middle), data[np.argpartition(data, middle)]):
                assert np.array_equal(
                    found[middle], expected[middle], equal_nan=data.dtype.kind == "f"
                )


def arithmetic() -> None:
    """Every elementwise function of floats against its inverse or its own float64 result."""
    for kind, tolerance in (("e", 4e-3), ("f", 2e-6), ("d", 1e-13)):
        for size in SIZES:
            data = values(kind, size)
            for name in FUNCTIONS:
                function = getattr(np, name)
                found, expected = function(data), function(data.astype("g"))
                assert np.allclose(found.astype("g"), expected, rtol=tolerance, atol=tolerance), (
                    name
                )
            assert np.allclose(data.sum(dtype="d"), sum(data.tolist()))
            assert data.max() == max(data.tolist())
            assert data.argmin() == data.tolist().index(min(data.tolist()))
    for kind in "bhilqBHILQ":
        data = values(kind, 1000)
        for name in (
            "add",
            "subtract",
            "multiply",
            "floor_divide",
            "remainder",
            "bitwise_xor",
            "maximum",
        ):
            found = getattr(np, name)(data, data[::-1])
            expected = (
                getattr(np, name)(data.astype("O"), data[::-1].astype("O"))
                if name != "maximum"
                else [max(pair) for pair in zip(data.tolist(), data[::-1].tolist())]
            )
            assert np.array_equal(found, np.array([int(x) for x in expected]).astype(kind)), name


def conversions() -> None:
    """Every type to every other, halves among them."""
    for source in NUMBERS:
        for target in NUMBERS:
            data = values(source, 333)
            assert data.astype(target).tolist() == [np.dtype(target).type(x) for x in data.tolist()]


def linear_algebra() -> None:
    """Products and decompositions, multiplied together again."""
    for kind, tolerance in (("f", 1e-3), ("d", 1e-9), ("D", 1e-9)):
        a = (values("d", 60 * 60) - 1).reshape(60, 60).astype(kind)
        assert np.allclose(a @ a, np.einsum("ij,jk->ik", a, a), atol=tolerance)
        u, s, v = np.linalg.svd(a)
        assert np.allclose((u * s) @ v, a, atol=tolerance)
        q, r = np.linalg.qr(a)
        assert np.allclose(q @ r, a, atol=tolerance)
        assert np.allclose(a @ np.linalg.solve(a, np.eye(60)), np.eye(60), atol=10 * tolerance)
        symmetric = a @ a.conj().T
        w, vectors = np.linalg.eigh(symmetric)
        assert np.allclose((vectors * w) @ vectors.conj().T, symmetric, atol=tolerance)
        low = np.linalg.cholesky(symmetric + np.eye(60))
        assert np.allclose(low @ low.conj().T, symmetric + np.eye(60), atol=tolerance)


def transforms() -> None:
    """Fourier transforms there and back, of good lengths and of primes."""
    for size in (64, 60, 97, 1024):
        data = values("d", size)
        assert np.allclose(np.fft.ifft(np.fft.fft(data)), data)
        assert np.allclose(np.fft.irfft(np.fft.rfft(data), size), data)


for part in (sorting, arithmetic, conversions, linear_algebra, transforms):
    part()
