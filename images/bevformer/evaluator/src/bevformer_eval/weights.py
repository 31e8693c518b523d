"""The model's weights: from a checkpoint that is read as data, or seeded by name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from bevformer_eval.checkpoint import Checkpoint, TensorRef
from bevformer_eval.errors import WeightsError
from bevformer_eval.model import BEVFormerTiny

# bevformer_tiny_epoch_24.pth, of the authors' release v1.0 (zhiqi-li/storage on GitHub).
PUBLISHED_SHA256 = "7305046dbaa4fe8b1fa6d6acb9e0e3d605a70a3c473f763e936103428d2b2f12"

Shapes = Mapping[str, Sequence[int]]
StateDict = Dict[str, Tensor]

_CODE_WEIGHTS = "pts_bbox_head.code_weights"
_BEV_EMBEDDING = "pts_bbox_head.bev_embedding.weight"
_OTHER_MODELS = {
    (22500, 256): "bevformer-small (a 150x150 BEV)",
    (40000, 256): "bevformer-base (a 200x200 BEV)",
}


def model_shapes() -> Dict[str, Tuple[int, ...]]:
    """Return the names and shapes of BEVFormer-tiny's 643 tensors."""
    return {key: tuple(value.shape) for key, value in BEVFormerTiny().state_dict().items()}


def seeded_state_dict(seed: int, shapes: Optional[Shapes] = None) -> StateDict:
    """Return weights that depend on the seed and on each tensor's name alone, under any torch.

    For the key k: n = standard_normal(shape) of numpy's PCG64 seeded with the first 8 bytes of
    sha256("seed:k"), little-endian. Running means are 0.1 n, running variances 1 + 0.1 |n|,
    tensors of two or more dimensions n / sqrt(elements of one row), other weights 1 + 0.1 n, and
    the rest 0.1 n.
    """
    shapes = model_shapes() if shapes is None else shapes
    return {key: _seeded(seed, key, tuple(shape)) for key, shape in shapes.items()}


def _seeded(seed: int, key: str, shape: Tuple[int, ...]) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key == _CODE_WEIGHTS:
        return torch.tensor([1.0] * 8 + [0.2] * 2)
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    noise = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
    n = noise.standard_normal(shape)
    if key.endswith("running_mean"):
        values = 0.1 * n
    elif key.endswith("running_var"):
        values = 1 + 0.1 * np.abs(n)
    elif len(shape) >= 2:
        values = n / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("weight"):
        values = 1 + 0.1 * n
    else:
        values = 0.1 * n
    return torch.from_numpy(np.asarray(values, np.float32))


def load_checkpoint(path: Path, expected_sha256: Optional[str] = None) -> StateDict:
    """Return BEVFormer-tiny's 643 tensors from a .pth file, without executing anything in it.

    Raises WeightsError, naming the file, where it cannot be read, differs from `expected_sha256`,
    is cut off or damaged, holds pickled code, or holds another model.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            if expected_sha256 is not None:
                _check_hash(path, stream, expected_sha256)
            return _read(path, stream)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read: {error.strerror}",
            hint="give --checkpoint a readable .pth file",
        ) from error


def sha256(stream: BinaryIO) -> str:
    """Return the hash of the whole stream, and rewind it."""
    digest = hashlib.sha256()
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    stream.seek(0)
    return digest.hexdigest()


def _check_hash(path: Path, stream: BinaryIO, expected: str) -> None:
    found = sha256(stream)
    if found != expected.lower():
        raise WeightsError(
            f"{path}: its sha256 is {found}, expected {expected}",
            hint="download it again, or give the sha256 of the file that you mean",
        )


def _read(path: Path, stream: BinaryIO) -> StateDict:
    checkpoint = Checkpoint(path, stream)
    entries = _state_entries(path, checkpoint.structure)
    shapes = model_shapes()
    _check_names(path, entries, shapes)
    state = {key: checkpoint.read(entries[key]) for key in shapes}
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise WeightsError(
            f"{path}: {len(broken)} tensors hold values not finite, among them {broken[0]}",
            hint="download the checkpoint again and compare its sha256",
        )
    return state


def _state_entries(path: Path, structure: object) -> Dict[str, TensorRef]:
    """Return the state dict in a checkpoint: its `state_dict` entry, or the whole of it."""
    found = structure.get("state_dict", structure) if isinstance(structure, dict) else {}
    if not isinstance(found, dict):
        found = {}
    tensors = {key: value for key, value in found.items() if isinstance(value, TensorRef)}
    if not tensors:
        raise WeightsError(
            f"{path}: holds no state_dict of tensors",
            hint="give a checkpoint that mmcv or torch.save wrote",
        )
    wrapped = "module."  # what DistributedDataParallel puts before every name
    if all(key.startswith(wrapped) for key in tensors):
        tensors = {key[len(wrapped) :]: value for key, value in tensors.items()}
    return tensors


def _check_names(path: Path, entries: Dict[str, TensorRef], shapes: Shapes) -> None:
    missing = sorted(set(shapes) - set(entries))
    unexpected = sorted(set(entries) - set(shapes))
    reshaped = [
        f"{key} is {entries[key].size}, not {tuple(shapes[key])}"
        for key in shapes
        if key in entries and entries[key].size != tuple(shapes[key])
    ]
    faults = [
        f"{len(found)} {what} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
        for what, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if found
    ]
    if faults:
        raise WeightsError(
            f"{path}: {_name_model(entries)}: of {len(shapes)} tensors, {'; '.join(faults)}",
            hint=f"give bevformer_tiny_epoch_24.pth (sha256 {PUBLISHED_SHA256})",
        )


def _name_model(entries: Dict[str, TensorRef]) -> str:
    embedding = entries.get(_BEV_EMBEDDING)
    if embedding is None:
        return "is not BEVFormer"
    other = _OTHER_MODELS.get(embedding.size)
    return f"is {other}, not BEVFormer-tiny" if other else "is not this BEVFormer-tiny"
