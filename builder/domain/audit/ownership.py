"""Files that belong to NVIDIA, whose licences (CUDA EULA 1.2) forbid disassembling them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

# Library names as NVIDIA ships them; auditwheel puts a hash between the stem and `.so`.
_STEMS = (
    "cuda", "cudart", "cudadevrt", "cublas", "cublasLt", "nvblas", "cudnn", r"cudnn_\w+", "cufft",
    "cufftw", "curand", "cusolver", "cusolverMg", "cusparse", "cusparseLt", "nvrtc",
    "nvrtc-builtins", "nvJitLink", "nvToolsExt", "nvtx3interop", "cupti", "cufile", "cufile_rdma",
    "nccl", "nccl-net", r"nvshmem\w*", r"npp\w+", "nvjpeg", "nvjpeg2k", "nvvm", r"nvinfer\w*",
    "nvonnxparser", r"nvidia-[\w-]+", "cutensor", "cutensorMg", r"nvperf_\w+", "pcsamplingutil",
    "cuinj64", "accinj64", "checkpoint", "nvcuvid", "nvoptix", "vdpau_nvidia", "cudadebugger",
    "nvfatbin", "nvptxcompiler", "nvrm", "nvcomp", "cudss", "cusparse_lt",
)  # fmt: skip
_LIBRARY = re.compile(rf"lib(?:{'|'.join(_STEMS)})(?:_static)?(?:-[0-9a-f]{{8}})?\.so(?:\.[\d.]+)?")
_PACKAGE_STEMS = (
    "nvidia-", "cuda-", "libcuda1", "libcudart", "libcublas", "libcudnn", "libcufft", "libcufile",
    "libcurand", "libcusolver", "libcusparse", "libcupti", "libcuinj", "libaccinj", "libcutensor",
    "libnccl", "libnvinfer", "libnvidia-", "libnvjpeg", "libnvjitlink", "libnvrtc",
    "libnvtoolsext", "libnvvm", "libnvblas", "libnvonnxparser", "libnpp", "libnvcuvid", "tensorrt",
)  # fmt: skip
_TREES = re.compile(
    r"(?:^|/)(?:usr/local/cuda[^/]*|opt/nvidia|usr/lib/nvidia-cuda-toolkit|usr/lib/cuda)/"
)
_WHEEL = re.compile(r"nvidia[-_.][\w.-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """What one installed package, of pip or of the distribution, says that it owns."""

    package: str
    files: frozenset[str]


def is_nvidia_package(name: str) -> bool:
    """Say whether a wheel or Debian package of this name is NVIDIA's."""
    return bool(_WHEEL.fullmatch(name)) or name.startswith(_PACKAGE_STEMS)


def owner_of(path: str, soname: str, records: Collection[PackageRecord]) -> str:
    """Say by what a file is known to be NVIDIA's, or nothing where it is not."""
    for record in records:
        if path in record.files and is_nvidia_package(record.package):
            return f"package {record.package}"
    for name in (soname, PurePosixPath(path).name):
        if _LIBRARY.fullmatch(name):
            return f"NVIDIA library {name}"
    found = _TREES.search("/" + path.lstrip("/"))
    return f"lies in {found.group().strip('/')}" if found else ""
