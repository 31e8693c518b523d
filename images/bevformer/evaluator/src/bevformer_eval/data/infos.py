"""Reads the CAN bus vectors of upstream's info files, without executing what a pickle holds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Dict

import numpy as np

from bevformer_eval.data import CAN_BUS_SIZE
from bevformer_eval.errors import DataError

# What numpy arrays and numbers are pickled as; nothing else of what a pickle names is ever looked
# up.
_KNOWN = {
    (module, name)
    for package in ("numpy.core", "numpy._core")
    for module, name in (
        (f"{package}.multiarray", "_reconstruct"),
        (f"{package}.multiarray", "scalar"),
        (f"{package}.numeric", "_frombuffer"),
    )
} | {("numpy", "ndarray"), ("numpy", "dtype")}


class _NumbersOnly(pickle.Unpickler):
    """An unpickler that knows numpy's arrays and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        if module.startswith(("numpy.core", "numpy._core")):
            module = module.replace("numpy._core", "numpy.core").replace("numpy.core", _core())
        return super().find_class(module, name)


def _core() -> str:
    return "numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core"


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes {encoding}")
    return text.encode("latin1")


def read_can_bus(path: Path) -> Dict[str, np.ndarray]:
    """Return the (18,) CAN bus vector of each sample token in nuscenes_infos_temporal_*.pkl."""
    try:
        with path.open("rb") as stream:
            infos = _NumbersOnly(stream).load()["infos"]
            vectors = {
                str(info["token"]): np.asarray(info["can_bus"], np.float64).copy() for info in infos
            }
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "check --infos") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        hint = "give upstream's nuscenes_infos_temporal_val.pkl, or no --infos: it is not needed"
        raise DataError(
            f"{path}: not an info file of upstream, nothing of it was executed: {reason}", hint
        ) from error
    if any(vector.shape != (CAN_BUS_SIZE,) for vector in vectors.values()):
        raise DataError(
            f"{path}: can_bus is not 18 numbers", "make it with upstream's create_data.py --canbus"
        )
    if vectors and not any(vector[7:16].any() for vector in vectors.values()):
        raise DataError(
            f"{path}: every can_bus is zero: it was made without the CAN bus",
            "leave --infos out and add can_bus.zip",
        )
    return vectors
