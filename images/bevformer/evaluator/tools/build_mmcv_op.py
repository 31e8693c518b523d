"""Compile mmcv's deformable attention alone: a package `mmcv` whose `_ext` holds the one op.

The CUDA source is mmcv-full's own, unchanged; only the binding is written here, because mmcv's
binds all of its hundred ops (40 CPU-minutes). For measuring the op where no image is at hand.

    python build_mmcv_op.py mmcv-full-1.7.2.tar.gz OUT
    PYTHONPATH=OUT bevformer-eval check-ops --device cuda
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

BINDING = r"""
#include <torch/extension.h>
#include <cuda_runtime_api.h>
#include <string>
using T = const at::Tensor&;
using Out = at::Tensor&;
at::Tensor ms_deform_attn_cuda_forward(T, T, T, T, T, const int);
void ms_deform_attn_cuda_backward(T, T, T, T, T, T, Out, Out, Out, const int);
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("ms_deform_attn_forward", &ms_deform_attn_cuda_forward, py::arg("value"),
        py::arg("value_spatial_shapes"), py::arg("value_level_start_index"),
        py::arg("sampling_locations"), py::arg("attention_weights"), py::arg("im2col_step"));
  m.def("ms_deform_attn_backward", &ms_deform_attn_cuda_backward, py::arg("value"),
        py::arg("value_spatial_shapes"), py::arg("value_level_start_index"),
        py::arg("sampling_locations"), py::arg("attention_weights"), py::arg("grad_output"),
        py::arg("grad_value"), py::arg("grad_sampling_loc"), py::arg("grad_attn_weight"),
        py::arg("im2col_step"));
  m.def("get_compiling_cuda_version", []() {
    return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION / 10 % 100);
  });
}
"""
SOURCE = "mmcv/ops/csrc/pytorch/cuda/ms_deform_attn_cuda.cu"
INCLUDES = ("mmcv/ops/csrc/common", "mmcv/ops/csrc/common/cuda")


def main() -> int:
    """Build into OUT and say where the extension is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sdist", type=Path, help="mmcv-full's source distribution (.tar.gz)")
    parser.add_argument("out", type=Path, help="where the package mmcv is written")
    args = parser.parse_args()
    sys.stdout.write(f"{build(args.sdist, args.out)}\n")
    return 0


def build(sdist: Path, out: Path) -> Path:
    """Compile the op of an mmcv-full source distribution and return the extension's file."""
    from torch.utils import cpp_extension

    package = out / "mmcv"
    package.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        with tarfile.open(str(sdist)) as archive:
            members = [
                m for m in archive.getmembers() if "/mmcv/ops/csrc/" in m.name and m.isfile()
            ]
            archive.extractall(str(scratch), members=members)  # noqa: S202 - regular files of a hashed sdist
        root = next(scratch.iterdir())
        binding = scratch / "binding.cpp"
        binding.write_text(BINDING, encoding="utf-8")
        work = scratch / "build"
        work.mkdir()
        module = cpp_extension.load(
            name="_ext",
            sources=[str(binding), str(root / SOURCE)],
            extra_include_paths=[str(root / path) for path in INCLUDES],
            extra_cflags=["-DMMCV_WITH_CUDA"],
            extra_cuda_cflags=["-DMMCV_WITH_CUDA"],
            build_directory=str(work),
            with_cuda=True,
        )
        built = Path(str(module.__file__))
        target = package / built.name
        shutil.copyfile(str(built), str(target))
    version = sdist.name.split("-")[-1].replace(".tar.gz", "")
    (package / "__init__.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    return target


if __name__ == "__main__":
    sys.exit(main())
