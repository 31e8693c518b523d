"""What a Dockerfile is made of: layers small enough to pull, settings for every kind of cell."""

from dataclasses import replace

import pytest

from builder.adapters.data.datafiles import load_image, load_matrix
from builder.commands.render import plain
from builder.domain.artifact import ArtifactKind
from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import PipLayer, RebuildInputs
from builder.domain.locking import rebuild_layer
from builder.domain.recipe import (
    LAYER_LIMIT,
    Compiler,
    RebuildStage,
    Recipe,
    groups,
    recipe,
    sources_of,
)
from tests.unit.commands import fakes

IMAGE = load_image(fakes.ROOT / "images" / "bevformer" / "image.yaml")
MATRIX = load_matrix(fakes.ROOT / "images" / "bevformer" / "matrix.yaml")
COMPILER = Compiler(gcc=13, host_flags=("-march=x86-64",), nvcc_flags=("-Xcompiler", "-march=x"))
HALF = LAYER_LIMIT // 2


def decide(cell: str) -> Recipe:
    return recipe(IMAGE, plain(MATRIX, cell), COMPILER, None)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param({}, {"l": ""}, id="nothing"),
        pytest.param({"a": 1, "b": 2}, {"l": "ab"}, id="all-fit"),
        pytest.param({"a": HALF, "b": HALF}, {"l": "ab"}, id="just-fit"),
        pytest.param(
            {"a": HALF, "b": LAYER_LIMIT - HALF + 1}, {"l-1": "a", "l-2": "b"}, id="one-too-many"
        ),
        pytest.param(
            {"a": 1, "b": LAYER_LIMIT * 2, "c": 1},
            {"l-1": "a", "l-2": "b", "l-3": "c"},
            id="one-above-the-limit",
        ),
        pytest.param({"b": HALF, "a": HALF, "c": HALF}, {"l-1": "ab", "l-2": "c"}, id="by-name"),
    ],
)
def test_groups(sizes: dict[str, int], expected: dict[str, str]) -> None:
    artifacts = [fakes.artifact(name, size=size) for name, size in sizes.items()]
    found = groups("l", artifacts)
    assert {name: "".join(one.name for one in group) for name, group in found.items()} == expected


def test_a_quoted_wheel_of_unknown_size_takes_no_room() -> None:
    unknown = replace(fakes.artifact("a"), size=None)
    assert list(groups("l", [unknown, fakes.artifact("b", size=LAYER_LIMIT)])) == ["l"]


@pytest.mark.parametrize(
    ("cell", "home"),
    [
        pytest.param("cu111", "/usr/local/cuda", id="in-the-base"),
        pytest.param("cu124", "/usr", id="debian"),
        pytest.param(
            "cu130", "/opt/cellar/lib/python3.11/site-packages/nvidia/cu13", id="package-index"
        ),
    ],
)
def test_the_toolkits_place(cell: str, home: str) -> None:
    environment = decide(cell).environment
    assert environment["CUDA_HOME"] == home
    assert environment["PATH"].startswith(f"/opt/cellar/bin:{home}/bin:")


def test_which_cells_pin_a_setuptools_that_needs_wheel() -> None:
    needing = [cell.id for cell in MATRIX.cells if decide(cell.id).evaluator_needs_tools]
    assert needing == ["cu111", "cu112-standin"]


def test_a_cell_without_cuda_has_no_word_of_it() -> None:
    found = decide("cpu")
    names = {*found.environment, *found.compiler_environment}
    assert [name for name in names if "CUDA" in name or "NV" in name] == []
    assert found.environment["PATH"].split(":")[:2] == ["/opt/cellar/bin", "/usr/local/sbin"]


def test_what_the_ops_are_compiled_with() -> None:
    chosen = replace(plain(MATRIX, "cu124"), gpu_archs=(ComputeCapability(8, 6),), ptx=None)
    flags = "-march=x86-64 -g0 -ffile-prefix-map=/build=."
    assert recipe(IMAGE, chosen, COMPILER, None).compiler_environment == {
        "CC": "gcc-13",
        "CXX": "g++-13",
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "MMCV_WITH_OPS": "1",
        "FORCE_CUDA": "1",
        "TORCH_CUDA_ARCH_LIST": "8.6",
        "NVCC_APPEND_FLAGS": "-Xcompiler -march=x",
    }


NAMED = {"CC": "gcc-13", "CXX": "g++-13"}


@pytest.mark.parametrize(
    ("cell", "version", "expected"),
    [
        pytest.param("cpu", "4:13.2.0-7", {}, id="gcc-is-the-cells"),
        pytest.param("cpu", "4:14.2.0-1", NAMED, id="gcc-is-another"),
        pytest.param("cpu", None, NAMED, id="no-gcc"),
        pytest.param(
            "cu124", None, {**NAMED, "NVCC_PREPEND_FLAGS": "-ccbin gcc-13"}, id="nvcc-is-told-too"
        ),
        pytest.param("cu118", None, {}, id="a-vendors-base-has-its-own"),
    ],
)
def test_the_compiler_that_the_devel_image_names(
    cell: str, version: str | None, expected: dict[str, str]
) -> None:
    gcc = replace(fakes.artifact("gcc", ArtifactKind.DEB), version=version or "")
    debs = {"base": (gcc,) if version else (), "toolchain": (fakes.artifact("gcc-13"),)}
    lock = replace(fakes.LOCK, debs=debs)
    found = recipe(IMAGE, plain(MATRIX, cell), COMPILER, lock)
    assert found.devel_environment == expected


REBUILDS = MATRIX.tables.rebuilds("cpu", IsaLevel.V1)
LOCK = replace(
    fakes.LOCK,
    rebuilds=tuple(
        RebuildInputs(
            sdist=replace(
                fakes.artifact(one.distribution, ArtifactKind.SDIST), version=str(one.version)
            ),
            requirements=one.requirements,
            layer=PipLayer(
                name=rebuild_layer(one.distribution),
                requirements="",
                artifacts=(fakes.artifact(f"for-{one.distribution}"),),
            ),
        )
        for one in REBUILDS
    ),
)


@pytest.mark.parametrize(
    ("isa", "ops"),
    [
        pytest.param(IsaLevel.V1, ["mmcv-full", "opencv-python-headless", "numpy"], id="below"),
        pytest.param(IsaLevel.V2, ["mmcv-full"], id="at-the-floor"),
    ],
)
def test_a_level_below_a_wheel_compiles_it_anew(isa: IsaLevel, ops: list[str]) -> None:
    chosen = plain(MATRIX, "cpu", isa)
    found = recipe(IMAGE, chosen, COMPILER, LOCK.rebuilding(chosen.rebuilds))
    assert list(found.ops) == ops
    assert found.rebuilds == {
        one.distribution: RebuildStage(
            wheels=f"rebuild-{one.distribution}", environment=one.environment
        )
        for one in REBUILDS
        if one.distribution in ops
    }
    assert found.layers == decide("cpu").layers


def test_the_sources_that_the_cell_names_and_all_trees_are_compiled() -> None:
    other = fakes.artifact("pip", ArtifactKind.SDIST)
    tree = fakes.artifact("bevformer", ArtifactKind.SOURCE)
    lock = replace(fakes.LOCK, sources=(*fakes.LOCK.sources, other, tree))
    found = sources_of(MATRIX.cell("cpu"), lock)
    assert [source.name for source in found] == ["mmcv-full", "bevformer"]
