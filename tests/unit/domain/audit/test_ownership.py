"""Files known to be NVIDIA's, by package, library name or folder, and files that are not."""

import pytest

from builder.domain.audit.ownership import PackageRecord, is_nvidia_package, owner_of

RECORDS = [
    PackageRecord(package="nvidia_cublas_cu12", files=frozenset({"sp/nvidia/cublas/lib/x.so"})),
    PackageRecord(package="torch", files=frozenset({"sp/torch/lib/libtorch.so"})),
]


@pytest.mark.parametrize(
    ("path", "soname", "owner"),
    [
        ("sp/nvidia/cublas/lib/x.so", "", "package nvidia_cublas_cu12"),
        ("sp/torch/lib/libtorch.so", "libtorch.so", ""),
        ("torch/lib/libcudart-80664282.so.10.2", "", "NVIDIA library libcudart-80664282.so.10.2"),
        ("a/b.so", "libcudnn_cnn_train.so.8", "NVIDIA library libcudnn_cnn_train.so.8"),
        ("torch/lib/libnvrtc-builtins.so", "", "NVIDIA library libnvrtc-builtins.so"),
        ("usr/lib/libnccl.so.2.8.4", "", "NVIDIA library libnccl.so.2.8.4"),
        ("usr/lib/libnvidia-ml.so.1", "", "NVIDIA library libnvidia-ml.so.1"),
        ("usr/local/cuda-11.1/bin/nvcc", "", "lies in usr/local/cuda-11.1"),
        ("torch/lib/libtorch_cuda.so", "libtorch_cuda.so", ""),
        ("torch/lib/libc10_cuda.so", "libc10_cuda.so", ""),
        ("torch/lib/libcaffe2_nvrtc.so", "libcaffe2_nvrtc.so", ""),
        ("home/me/usr_local_cuda/x.so", "", ""),
    ],
)
def test_owner(path: str, soname: str, owner: str) -> None:
    assert owner_of(path, soname, RECORDS) == owner


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia_cudnn_cu11", True),
        ("nvidia-nccl-cu12", True),
        ("libcudnn8", True),
        ("cuda-cudart-11-1", True),
        ("libnccl2", True),
        ("libnvinfer8", True),
        ("torch", False),
        ("libcurl4", False),
        ("libcups2", False),
        ("libnuma1", False),
        ("numpy", False),
    ],
)
def test_packages(name: str, *, expected: bool) -> None:
    assert is_nvidia_package(name) is expected
