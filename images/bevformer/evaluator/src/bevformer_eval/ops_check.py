"""`check-ops`: the op's implementations against each other, and what is wrong with mmcv's."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from bevformer_eval import cubins, ops
from bevformer_eval.errors import HostError

# mmcv 1.x's op and grid_sample in float32 differ in the last digits only.
TOLERANCE = 1e-4
MAX_HEADS, MAX_DIMS, MAX_BATCH, MAX_QUERIES, MAX_LEVELS, MAX_POINTS = 8, 32, 4, 64, 6, 8

_ABSENT = "mmcv is not installed"

Implementation = Callable[[Tensor, ops.SpatialShapes, Tensor, Tensor], Tensor]


class OpsRow(NamedTuple):
    """One implementation against the reference: the largest errors, relative to the values."""

    implementation: str
    device: str
    forward: float
    backward: float
    passed: bool


class OpsReport(NamedTuple):
    """What `check-ops` found. `problem` says why mmcv's op cannot be used, or is empty."""

    rows: Tuple[OpsRow, ...]
    trials: int
    mmcv: str
    problem: str

    @property
    def passed(self) -> bool:
        """Say whether every implementation that runs here is right."""
        return all(row.passed for row in self.rows)

    @property
    def broken(self) -> bool:
        """Say whether an installed mmcv cannot be used; without mmcv there is the PyTorch form."""
        return bool(self.problem) and not self.problem.startswith(_ABSENT)

    def as_dict(self) -> Dict[str, object]:
        """Return the report for JSON."""
        rows = [row._asdict() for row in self.rows]
        return {**self._asdict(), "rows": rows, "tolerance": TOLERANCE, "passed": self.passed}

    def table(self) -> str:
        """Return the report for people."""
        lines = [f"{'implementation':<16}{'device':<10}{'forward':>10}{'backward':>10}"]
        for row in self.rows:
            verdict = "" if row.passed else f"  above {TOLERANCE:g}"
            lines.append(
                f"{row.implementation:<16}{row.device:<10}{row.forward:>10.1e}{row.backward:>10.1e}{verdict}"
            )
        lines.append(f"largest of {self.trials} random shapes, float32, relative to float64")
        lines.append(f"mmcv: {self.problem or self.mmcv}")
        return "\n".join(lines)


class _Trial(NamedTuple):
    """Random arguments of the op, in float64 on the CPU, and a gradient for its result."""

    value: Tensor
    shapes: ops.SpatialShapes
    locations: Tensor
    weights: Tensor
    grad: Tensor


def check_ops(device: str = "cpu", trials: int = 20, seed: int = 0) -> OpsReport:
    """Compare the PyTorch form and mmcv's op, forward and backward, with a float64 reference.

    mmcv's op is compared where it loads and the device is a GPU; `problem` names what keeps it from
    being used: missing, another torch, CPU only, or without the GPU's architecture.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise HostError(
            f"--device {device}: torch {torch.__version__} sees no GPU",
            hint="check nvidia-smi and the container's --gpus option, or use --device cpu",
        )
    target = torch.device(device)
    cases = [_trial(random.Random(f"{seed}:{number}")) for number in range(trials)]  # noqa: S311
    rows = [_compare("pytorch", ops.ms_deform_attn_pytorch, target, cases)]
    problem = diagnose(target)
    if not problem and target.type == "cuda":
        rows.append(_compare("mmcv", ops.ms_deform_attn_mmcv, target, cases))
    return OpsReport(tuple(rows), trials, _describe_mmcv(), problem)


def _trial(rng: random.Random) -> _Trial:
    generator = torch.Generator().manual_seed(rng.getrandbits(32))

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    levels, points = rng.randint(1, MAX_LEVELS), rng.randint(1, MAX_POINTS)
    batch, queries = rng.randint(1, MAX_BATCH), rng.randint(1, MAX_QUERIES)
    heads, dims = rng.randint(1, MAX_HEADS), rng.choice((1, 4, 16, MAX_DIMS))
    shapes = tuple((rng.randint(1, 20), rng.randint(1, 30)) for _ in range(levels))
    cells = sum(height * width for height, width in shapes)
    # A third of the locations lies outside, where nothing may be read.
    locations = 0.5 + 0.5 * normal(batch, queries, heads, levels, points, 2)
    weights = normal(batch, queries, heads, levels * points).softmax(-1)
    return _Trial(
        normal(batch, cells, heads, dims),
        shapes,
        locations,
        weights.view(batch, queries, heads, levels, points),
        normal(batch, queries, heads * dims),
    )


def reference(
    value: Tensor, spatial_shapes: ops.SpatialShapes, locations: Tensor, weights: Tensor
) -> Tensor:
    """Return the attention from its definition: four weighted neighbours of each location."""
    batch, _, heads, dims = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    output = value.new_zeros(batch, queries, heads, dims)
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        x = locations[:, :, :, level, :, 0] * width - 0.5
        y = locations[:, :, :, level, :, 1] * height - 0.5
        for column in (x.floor(), x.floor() + 1):
            for row in (y.floor(), y.floor() + 1):
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
                cell = start + row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
                index = cell.long().permute(0, 1, 3, 2).reshape(batch, -1, heads, 1)
                read = value.gather(1, index.expand(-1, -1, -1, dims))
                read = read.view(batch, queries, points, heads, dims).transpose(2, 3)
                output = output + (read * (share * weights[:, :, :, level])[..., None]).sum(3)
        start += height * width
    return output.flatten(2)


def _results(
    function: Implementation, trial: _Trial, target: torch.device, dtype: torch.dtype
) -> List[Tensor]:
    """Return the result and its three gradients, on the CPU in float64."""
    leaves = [
        tensor.detach().to(target, dtype, copy=True).requires_grad_()
        for tensor in (trial.value, trial.locations, trial.weights)
    ]
    output = function(leaves[0], trial.shapes, leaves[1], leaves[2])
    output.backward(trial.grad.to(target, dtype))
    return [tensor.detach().cpu().double() for tensor in (output, *(leaf.grad for leaf in leaves))]


def _compare(
    name: str, function: Implementation, target: torch.device, cases: List[_Trial]
) -> OpsRow:
    errors = []
    for trial in cases:
        # The reference sees the float32 numbers: only the arithmetic is compared.
        rounded = _Trial(
            *(part.float().double() if torch.is_tensor(part) else part for part in trial)
        )
        expected = _results(reference, rounded, torch.device("cpu"), torch.float64)
        found = _results(function, rounded, target, torch.float32)
        errors.append([_relative(left, right) for left, right in zip(found, expected)])
    worst = torch.tensor(errors).amax(0)  # keeps a NaN, which does not pass
    forward, backward = float(worst[0]), float(worst[1:].max())
    return OpsRow(name, str(target), forward, backward, bool((worst <= TOLERANCE).all()))


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))


def _describe_mmcv() -> str:
    try:
        import mmcv

        extension = ops.mmcv_ext()
        return f"{mmcv.__version__}, compiled for CUDA {extension.get_compiling_cuda_version()}"
    except (ImportError, OSError, AttributeError):
        return "none"


def diagnose(target: torch.device) -> str:
    """Say in one line why mmcv's op cannot be used on the device, or return ''."""
    problem = _why_not_importable()
    if problem or target.type != "cuda":
        return problem
    try:
        if ops._attends_ones(target):  # noqa: SLF001
            return ""
        error = "it returns zeros: its kernels did not start"
    except (RuntimeError, AttributeError) as failure:
        error = str(failure).splitlines()[0]
    return _why_not_running(error, target)


def _why_not_importable() -> str:
    spec = importlib.util.find_spec("mmcv")
    if spec is None or not spec.submodule_search_locations:
        return f"{_ABSENT}, the PyTorch form is used; install mmcv-full 1.x for its CUDA op"
    try:
        extension = ops.mmcv_ext()
    except (ImportError, OSError) as error:
        return _explain_import(str(error), Path(next(iter(spec.submodule_search_locations))))
    if not hasattr(extension, ops.OP):
        return f"mmcv's extension lacks {ops.OP}; install mmcv-full 1.3 to 1.7 with MMCV_WITH_OPS=1"
    return ""


def _explain_import(error: str, package: Path) -> str:
    here = f"torch {torch.__version__}"
    first = error.splitlines()[0] if error else ""
    if "undefined symbol" in first:
        symbol = first.rpartition("undefined symbol:")[2].strip()
        return (
            f"mmcv's extension was built for another torch than {here} (undefined symbol "
            f"{symbol}); uninstall mmcv and mmcv-full, then build mmcv-full against this torch "
            "without a cache"
        )
    library = re.match(r"(\S+\.so\S*): cannot open shared object", first)
    if library:
        return (
            f"mmcv's extension was built for another CUDA than {here}: {library.group(1)} "
            "is not here; rebuild mmcv-full against this torch and its CUDA"
        )
    others = sorted(path.name for path in package.glob("_ext*.so"))
    if "mmcv._ext" in first and others:
        return f"mmcv's {others[0]} is for another Python; rebuild mmcv-full with this one"
    if "mmcv._ext" in first:
        return (
            "mmcv has no compiled extension: it is mmcv-lite or was built without MMCV_WITH_OPS=1; "
            "install mmcv-full"
        )
    return f"mmcv does not import: {first}"


def _why_not_running(error: str, target: torch.device) -> str:
    if "compiled with GPU" in error or "implementation for device" in error:
        return "mmcv-full was built for the CPU only; rebuild it with FORCE_CUDA=1 MMCV_WITH_OPS=1"
    major, minor = torch.cuda.get_device_capability(target)
    wanted = f"sm_{major}{minor}"
    name = torch.cuda.get_device_name(target)
    found = _architectures()
    if "no kernel image" in error or "did not start" in error or (found and wanted not in found):
        holds = ", ".join(found) or "unknown"
        return (
            f"mmcv's extension holds no code for {name} ({wanted}; it holds {holds}); "
            f"rebuild it with TORCH_CUDA_ARCH_LIST={major}.{minor}"
        )
    return f"mmcv's op fails on {name}: {error}"


def _architectures() -> List[str]:
    path: Optional[str] = getattr(ops.mmcv_ext(), "__file__", None)
    return cubins.architectures(Path(path)) if path else []
