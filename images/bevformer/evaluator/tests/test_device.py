"""Which GPU a build serves."""

from __future__ import annotations

from typing import List, Tuple

import pytest

from bevformer_eval.device import serves
from bevformer_eval.errors import HostError
from bevformer_eval.predict import gpu_errors


@pytest.mark.parametrize(
    ("archs", "capability", "expected"),
    [
        (["sm_86"], (8, 6), True),
        (["sm_80"], (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_80", "sm_86"], (9, 0), False),
        (["sm_86", "compute_86"], (9, 0), True),
        (["compute_90"], (8, 6), False),
        (["sm_90a"], (9, 0), True),
        (["sm_120"], (12, 0), True),
        (["sm_100"], (12, 0), False),
        (["sm_37", "sm_75"], (7, 5), True),
        (["other"], (8, 0), False),
    ],
)
def test_serves(archs: List[str], capability: Tuple[int, int], expected: object) -> None:
    assert serves(archs, *capability) is expected


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB\nmore", "out of memory"),
        ("CUDA error: no kernel image is available for execution on the device", "no kernel of"),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "CUDA failed"),
    ],
    ids=["memory", "architecture", "other"],
)
def test_what_cuda_says_becomes_one_line(raised: str, message: str) -> None:
    with pytest.raises(HostError, match=message) as caught, gpu_errors():
        raise RuntimeError(raised)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), gpu_errors():
        raise RuntimeError("shape mismatch")
