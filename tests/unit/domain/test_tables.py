"""The tables against sources that are independent of those that their rows name."""

from pathlib import Path

import pytest
from packaging.version import Version

from builder.adapters.data.datafiles import load_matrix
from builder.domain.gpu import CodeMode, ComputeCapability
from builder.domain.version import CudaVersion

TABLES = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml").tables

# nixpkgs 55d5788b, cudaCapabilityToInfo: the first toolkit and the last. It knows none before
# 10.0, gives 11.2 for what 11.0 and 11.1 brought, and 12.7, which was never released, for 12.8.
NIXPKGS = {
    "3.5": ("10.0", "11.8"),
    "3.7": ("10.0", "11.8"),
    "5.0": ("10.0", "12.9"),
    "5.2": ("10.0", "12.9"),
    "6.0": ("10.0", "12.9"),
    "6.1": ("10.0", "12.9"),
    "7.0": ("10.0", "12.9"),
    "7.2": ("10.0", "12.2"),
    "7.5": ("10.0", None),
    "8.0": ("11.2", None),
    "8.6": ("11.2", None),
    "8.7": ("11.4", None),
    "8.9": ("11.8", None),
    "9.0": ("11.8", None),
    "10.0": ("12.8", None),
    "10.1": ("12.8", "12.9"),
    "10.3": ("12.9", None),
    "11.0": ("13.0", None),
    "12.0": ("12.8", None),
    "12.1": ("12.9", None),
}
JETSON = {"7.2", "8.7", "10.1", "11.0"}  # isJetson there


@pytest.mark.parametrize("capability", NIXPKGS)
def test_architectures_agree_with_nixpkgs(capability: str) -> None:
    first, last = NIXPKGS[capability]
    row = TABLES.architecture(ComputeCapability.parse(capability))
    assert row is not None
    known = CudaVersion.parse(first)
    if known > CudaVersion(11, 2):
        assert row.first == known
    else:
        assert row.first <= known
    assert row.last == (CudaVersion.parse(last) if last else None)
    assert (row.host == "aarch64") >= (capability in JETSON)


# replicate/cog 20678292 brackets each floor: the wheel that has code for a GPU and the last that
# has none; the rows of torch_builds come from elsewhere, save those for 1.13.1 and 2.7.0.
@pytest.mark.parametrize(
    ("torch", "capability", "mode"),
    [
        pytest.param("1.13.1+cu117", "9.0", CodeMode.NONE, id="below-hopper"),
        pytest.param("2.0.1+cu118", "9.0", CodeMode.NATIVE, id="hopper"),
        pytest.param("2.6.0", "10.0", CodeMode.NONE, id="below-b200"),
        pytest.param("2.6.0", "12.0", CodeMode.NONE, id="below-rtx5090"),
        pytest.param("2.7.0+cu128", "10.0", CodeMode.NATIVE, id="b200"),
        pytest.param("2.7.0+cu128", "12.0", CodeMode.NATIVE, id="rtx5090"),
        pytest.param("2.11.0", "12.0", CodeMode.NATIVE, id="rtx5090-later"),
        # An H200 ran torch 2.11.0 with driver 580.159.04.
        pytest.param("2.11.0", "9.0", CodeMode.NATIVE, id="h200"),
        pytest.param("2.6.0", "7.0", CodeMode.NATIVE, id="volta"),
        pytest.param("2.11.0", "7.0", CodeMode.NONE, id="after-volta"),
    ],
)
def test_wheels_agree_with_cog(torch: str, capability: str, mode: CodeMode) -> None:
    code = TABLES.torch_build(Version(torch)).code
    assert code.mode(ComputeCapability.parse(capability)) is mode


# BEVFormer's own table of combinations that people reported (upstream's issues and forks).
@pytest.mark.parametrize(
    ("cuda", "gcc", "taken"),
    [
        pytest.param("11.1", 9, True, id="install-guide-ubuntu20.04"),
        pytest.param("11.1", 11, False, id="nvcc-11.1-rejects-gcc-11"),
        pytest.param("11.8", 9, True, id="maptr-gcc-9"),
        pytest.param("13.0", 12, True, id="bookworm"),
        pytest.param("12.4", 14, False, id="trixie-default"),
    ],
)
def test_compilers_agree_with_reports(cuda: str, gcc: int, taken: bool) -> None:  # noqa: FBT001
    row = TABLES.compiler(CudaVersion.parse(cuda))
    assert (row.gcc_min <= gcc <= row.gcc_max) is taken


def test_minor_version_compatibility_asks_for_less_than_the_toolkits_own_driver() -> None:
    for release in TABLES.driver_releases:
        if release.cuda.minor > 0:
            family = TABLES.family(release.cuda)
            assert family.linux <= release.linux
            assert release.windows is None or family.windows <= release.windows


def test_what_has_no_row_is_no_guess() -> None:
    assert TABLES.architecture(ComputeCapability(8, 5)) is None
    with pytest.raises(KeyError):
        TABLES.compiler(CudaVersion(12, 7))
    with pytest.raises(KeyError):
        TABLES.release(CudaVersion(12, 7))
    with pytest.raises(KeyError):
        TABLES.family(CudaVersion(14, 0))
    with pytest.raises(KeyError):
        TABLES.torch_build(Version("2.5.0"))
    with pytest.raises(KeyError):
        TABLES.distribution("forky")
