"""Everything works however it is started: by any shell and user, on a read-only root, offline."""

from pathlib import Path

import pytest
from packaging.version import Version

from builder.commands.build import Order

from .conftest import Record, Run

pytestmark = pytest.mark.level("L1")

_EXTENSION = """
#include <torch/extension.h>
{kernel}
torch::Tensor plus_one(torch::Tensor x) {{ return x + 1; }}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("plus_one", &plus_one); }}
"""
_KERNEL = "__global__ void add_one(float *x) { x[threadIdx.x] += 1.f; }"
_LOAD = """
import sys, torch
from torch.utils.cpp_extension import load
print(load("probe", [sys.argv[1]], build_directory="/tmp").plus_one(torch.zeros(1)).item())
"""

# mmcv.ops itself would draw in torchvision, of which the index has no build for every cell.
_IMPORTS = "import torch, cv2, mmcv, mmcv._ext, nuscenes, numpy; print(torch.__version__)"
_STRANGER = "12345:12345"
_PLACES = "command -v python; command -v bevformer-eval"


@pytest.mark.parametrize(
    "shell",
    [("sh", "-c"), ("bash", "-c"), ("bash", "-lc"), ("env", "-i", "bash", "-lc")],
    ids=" ".join,
)
@pytest.mark.parametrize("user", ["", "0:0", _STRANGER], ids=["own user", "root", "stranger"])
def test_programs_are_found(shell: tuple[str, ...], user: str, order: Order, run: Run) -> None:
    prefix = f"{order.recipe.image.prefix}/bin"
    assert run(*shell, _PLACES, user=user).split() == [
        f"{prefix}/python",
        f"{prefix}/bevformer-eval",
    ]


def test_a_stranger_imports_everything_on_a_read_only_root(
    order: Order, run: Run, *, read_only: bool, record_property: Record
) -> None:
    options = {"user": _STRANGER, "read_only": read_only, "tmpfs": ("/tmp",)}  # noqa: S108
    found = run("python", "-W", "error::RuntimeWarning", "-c", _IMPORTS, **options).strip()
    root = "" if read_only else ", on a writable root: this engine has no other"
    record_property("seen", f"torch {found}{root}")
    torch = order.recipe.cell.torch
    # The index names its wheel of CUDA 13.0 torch 2.11.0; the module itself adds +cu130.
    assert found == str(torch) or Version(found).public == str(torch)


def test_a_stranger_has_a_name_and_a_writable_home(run: Run) -> None:
    script = "import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    assert run("python", "-c", script, user=_STRANGER).split() == ["cellar", "/tmp"]  # noqa: S108
    assert run("sh", "-c", 'touch "$HOME/x" && echo ok', user=_STRANGER).strip() == "ok"


def test_what_is_written_into_a_mount_belongs_to_the_caller(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    run("touch", "/data/x", user=_STRANGER, mounts={tmp_path: "/data"}, writable={"/data"})
    found = (tmp_path / "x").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12345)


def test_the_evaluator_tells_its_options(run: Run) -> None:
    assert "usage: bevformer-eval" in run("bevformer-eval", "--help", user=_STRANGER)


@pytest.mark.optional
def test_the_compilers_of_the_devel_image(order: Order, run: Run) -> None:
    if order.target != "devel":
        pytest.skip("the runtime image has no compiler")
    assert "gcc" in run("sh", "-c", "${CC:-gcc} --version", user=_STRANGER)
    if order.recipe.cell.cuda:
        release = f"release {order.recipe.cell.cuda}"
        for shell in (("sh", "-c"), ("bash", "-lc")):
            assert release in run(*shell, "nvcc --version", user=_STRANGER)


@pytest.mark.optional
def test_the_devel_image_compiles_an_extension(order: Order, run: Run, tmp_path: Path) -> None:
    if order.target != "devel":
        pytest.skip("the runtime image has no compiler")
    archs = order.recipe.selection.gpu_archs
    source = tmp_path / ("probe.cu" if archs else "probe.cpp")
    source.write_text(_EXTENSION.format(kernel=_KERNEL if archs else ""))
    tmp_path.chmod(0o755)
    # torch asks a GPU what to compile for, where nothing says so.
    variables = ["env", *([f"TORCH_CUDA_ARCH_LIST={archs[0]}"] if archs else [])]
    command = ("python", "-W", "ignore", "-c", _LOAD, f"/source/{source.name}")
    found = run(*variables, *command, user=_STRANGER, mounts={tmp_path: "/source"})
    assert found.split()[-1] == "1.0"
    if archs:
        made = run(
            "sh", "-c", "nvcc -c -o /tmp/probe.o -x cu /dev/null && echo compiled", user=_STRANGER
        )
        assert made.split()[-1] == "compiled"
