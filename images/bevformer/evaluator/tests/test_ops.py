"""The op against its definition, and the diagnoses of mmcv's extension."""

from __future__ import annotations

import ctypes
import importlib
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Tuple

import pytest
import torch

from bevformer_eval import cubins, ops, ops_check
from bevformer_eval.errors import HostError


def test_the_pytorch_form_equals_the_definition() -> None:
    report = ops_check.check_ops("cpu", trials=5, seed=1)
    (row,) = report.rows
    assert (row.implementation, row.device, row.passed) == ("pytorch", "cpu", True)
    assert 0 < row.forward < 1e-5
    assert 0 < row.backward < 1e-5
    assert report.passed
    assert report.as_dict()["passed"] is True


def test_a_wrong_implementation_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.ms_deform_attn_pytorch

    def wrong(*arguments: torch.Tensor) -> torch.Tensor:
        return right(*arguments) * 1.001

    monkeypatch.setattr(ops, "ms_deform_attn_pytorch", wrong)
    report = ops_check.check_ops("cpu", trials=2)
    assert not report.passed
    assert "above" in report.table()


def test_a_nan_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ops.ms_deform_attn_pytorch
    monkeypatch.setattr(ops, "ms_deform_attn_pytorch", lambda *a: right(*a) * float("nan"))
    assert not ops_check.check_ops("cpu", trials=1).passed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(HostError, match="sees no GPU"):
        ops_check.check_ops("cuda")


def _install(monkeypatch: pytest.MonkeyPatch, folder: Path, extension: str) -> None:
    """Put a package mmcv with this `_ext` (None: without) before all others."""
    package = folder / "mmcv"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1.7.2'\n")
    if extension:
        (package / "_ext.py").write_text(extension)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "mmcv"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()


IMPORTS = {
    "mmcv-lite": ("", "no compiled extension"),
    "another torch": (
        "raise ImportError('mmcv/_ext.so: undefined symbol: _ZNK2at6Tensor4dataEv')",
        "built for another torch than torch",
    ),
    "another CUDA": (
        "raise ImportError('libcudart.so.11.0: cannot open shared object file: No such file')",
        "libcudart.so.11.0 is not here",
    ),
    "without the op": ("", "no compiled extension"),
    "no such function": ("x = 1", "lacks ms_deform_attn_forward"),
    "anything else": ("raise ImportError('a strange reason\\nand more')", "a strange reason"),
    "whole": ("def ms_deform_attn_forward(): pass", ""),
}


@pytest.mark.parametrize(("extension", "message"), IMPORTS.values(), ids=list(IMPORTS))
def test_an_extension_that_does_not_import_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str, message: str
) -> None:
    _install(monkeypatch, tmp_path, extension)
    problem = ops_check.diagnose(torch.device("cpu"))
    assert message in problem
    assert bool(problem) is bool(message)
    assert "\n" not in problem


def test_an_extension_of_another_python_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, tmp_path, "")
    (tmp_path / "mmcv" / "_ext.cpython-27m-x86_64-linux-gnu.so").write_bytes(b"")
    assert "is for another Python" in ops_check.diagnose(torch.device("cpu"))


def test_no_mmcv_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "mmcv is not installed" in ops_check.diagnose(torch.device("cpu"))


CALLS = {
    "CPU only, 1.4": ("Not compiled with GPU support", "built for the CPU only"),
    "CPU only, 1.7": ("implementation for device cuda:0 not found.\n", "built for the CPU only"),
    "no kernel": ("CUDA error: no kernel image is available for execution", "(sm_90; it holds sm_"),
    "zeros": ("", "(sm_90; it holds sm_80)"),
    "another error": ("CUDA error: an illegal memory access\n", "fails on H200"),
}


@pytest.mark.parametrize(("error", "message"), CALLS.values(), ids=list(CALLS))
def test_an_extension_that_does_not_run_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, message: str
) -> None:
    library = tmp_path / "_ext.so"
    library.write_bytes(_fatbin((2, 90 if "illegal" in error else 80)))
    extension = ModuleType("mmcv._ext")
    extension.__file__ = str(library)
    extension.ms_deform_attn_forward = None  # type: ignore[attr-defined]

    def attends(_: torch.device) -> bool:
        if error:
            raise RuntimeError(error)
        return False

    monkeypatch.setattr(ops, "mmcv_ext", lambda: extension)
    monkeypatch.setattr(ops, "_attends_ones", attends)
    monkeypatch.setattr(ops_check, "_why_not_importable", lambda: "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H200")
    problem = ops_check.diagnose(torch.device("cuda"))
    assert message in problem
    assert "\n" not in problem


def test_what_mmcv_prints_does_not_reach_stdout(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def forward(*_: torch.Tensor, im2col_step: int) -> torch.Tensor:
        ctypes.CDLL(None).printf(b"error in the op: no kernel image is available %d\n", im2col_step)
        return torch.zeros(1, 1, 2)

    extension = ModuleType("mmcv._ext")
    extension.ms_deform_attn_forward = forward  # type: ignore[attr-defined]
    monkeypatch.setattr(ops, "mmcv_ext", lambda: extension)
    assert not ops._attends_ones(torch.device("cpu"))
    out, error = capfd.readouterr()
    assert (out, error) == ("", "error in the op: no kernel image is available 1\n")


def _fatbin(*entries: Tuple[int, int]) -> bytes:
    body = b"".join(
        struct.pack("<HHIQ12xI", kind, 1, 64, 8, arch) + bytes(32 + 8) for kind, arch in entries
    )
    return (
        b"ELF" + bytes(13) + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body + bytes(64)
    )


FATBINS = {
    "none": (b"", []),
    "no fatbin": (bytes(100), []),
    "one": (_fatbin((2, 90)), ["sm_90"]),
    "cubins and PTX": (_fatbin((2, 80), (2, 90), (1, 90)), ["compute_90", "sm_80", "sm_90"]),
    "two fatbins": (_fatbin((2, 75)) + _fatbin((2, 120)), ["sm_120", "sm_75"]),
    "cut off": (_fatbin((2, 80), (2, 90))[:90], ["sm_80"]),
    "the magic number alone": (bytes(16) + struct.pack("<I", 0xBA55ED50), []),
    "another version": (struct.pack("<IHHQ", 0xBA55ED50, 9, 16, 8) + bytes(64), []),
}


@pytest.mark.parametrize(("content", "expected"), FATBINS.values(), ids=list(FATBINS))
def test_architectures_are_read_from_fatbins(
    tmp_path: Path, content: bytes, expected: list
) -> None:
    library = tmp_path / "lib.so"
    library.write_bytes(content)
    assert cubins.architectures(library) == expected
