"""Chooses the device, and says before the first frame why a GPU cannot serve."""

from __future__ import annotations

from typing import Any, Sequence

from bevformer_eval.errors import HostError, UsageError


def choose_device(wanted: str, local_rank: int = 0) -> str:
    """Return `cpu` or `cuda:N`, and forbid TF32: its results leave the tolerance."""
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if wanted in {"auto", "cuda"}:
        index = local_rank
    else:
        kind, _, number = wanted.partition(":")
        if kind != "cuda" or not number.isdecimal():
            raise UsageError(f"--device {wanted}: no such device", "use auto, cpu, cuda or cuda:N")
        index = int(number)
    _check_gpu(torch, index)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return f"cuda:{index}"


def _check_gpu(torch: Any, index: int) -> None:
    if not torch.cuda.is_available():
        raise HostError(
            f"torch {torch.__version__} cannot use a GPU: {_why_not(torch)}",
            "check nvidia-smi, or --device cpu",
        )
    if index >= torch.cuda.device_count():
        raise HostError(
            f"there is no GPU {index}; torch sees {torch.cuda.device_count()}",
            "choose another --device",
        )
    major, minor = torch.cuda.get_device_capability(index)
    archs = torch.cuda.get_arch_list()
    if archs and not serves(archs, major, minor):
        raise HostError(
            f"{torch.cuda.get_device_name(index)} has compute capability {major}.{minor}; "
            f"torch {torch.__version__} is built for {' '.join(archs)}",
            "choose an image whose architectures include it, or --device cpu",
        )


def _why_not(torch: Any) -> str:
    if torch.version.cuda is None:
        return "it is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return "no GPU is visible"


def serves(archs: Sequence[str], major: int, minor: int) -> bool:
    """Say whether a build for `archs` (`sm_86`: machine code, `compute_86`: PTX) runs on a GPU.

    Machine code runs on the same major version from its minor version on; PTX on every later GPU.
    """
    for arch in archs:
        kind, _, number = arch.partition("_")
        digits = "".join(c for c in number if c.isdigit())
        if not digits:
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return True
        if kind == "compute" and built <= (major, minor):
            return True
    return False
