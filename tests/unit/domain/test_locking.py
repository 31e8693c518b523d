"""From a definition to what is asked for, and from an index's files to the one that is locked."""

from dataclasses import replace

import pytest
from packaging.version import Version

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.locking import (
    artifact,
    choose,
    choose_sdist,
    locked_pin,
    requirement_file,
    requirement_names,
)
from builder.domain.requirement_files import Pin
from builder.domain.wheel_tags import Candidate, tags_of
from builder.errors import DataError
from tests.unit.lock_examples import CPU, DEFINITION, IMAGE, MATRIX, digest

TAGS = tags_of(CPU)
PIN = Pin(name="numpy", version="1.26.4", hashes=(), via=("-c constraints.txt", "-r runtime.in"))
UPSTREAM = replace(
    DEFINITION,
    cell=MATRIX.cell("cu130"),
    requirements={
        "sources.in": "mmcv-full\n",
        "runtime.in": "numpy\n",
        "upstream.in": "torchvision\nmmdet\nmmsegmentation\n",
        "unresolved.in": "nuscenes-devkit==1.2.0  # why\n",
    },
)


def test_a_plain_cell_asks_for_no_upstream() -> None:
    assert "upstream.in" not in requirement_names(IMAGE, CPU)
    assert DEFINITION.sources == {"mmcv-full": Version("1.7.2")}
    assert DEFINITION.constraints == "torch==2.13.0+cpu\n"
    assert DEFINITION.deb_groups == {"essential": (), "base": ("python3.11",), "toolchain": ()}
    assert (DEFINITION.trees, DEFINITION.without_source) == ({}, ())


def test_a_cell_with_upstream_asks_for_its_needs_too() -> None:
    runtime = next(layer for layer in IMAGE.layers if layer.name == "runtime")
    assert UPSTREAM.layer(runtime) == ("numpy", "torchvision", "mmdet", "mmsegmentation")
    assert UPSTREAM.unresolved(runtime) == (
        Pin(name="nuscenes-devkit", version="1.2.0", hashes=()),
    )
    assert UPSTREAM.constraints.splitlines() == [
        "antlr4-python3-runtime==4.9.3",
        "detectron2==0.6",
        "fvcore==0.1.5.post20221221",
        "mmdet==2.14.0",
        "mmdet3d==0.17.1",
        "mmsegmentation==0.14.1",
        "torch==2.11.0",
        "torchvision==0.26.0",
    ]
    assert sorted(UPSTREAM.trees) == sorted(IMAGE.sources)
    versions = {tree.name: tree.version for tree in UPSTREAM.tree_artifacts}
    assert versions == {"bevformer": "0+2f37d0d4932b", "detectron2": "0.6", "mmdet3d": "0.17.1"}


@pytest.mark.parametrize(
    ("present", "expected"),
    [(["torch.in"], "torch.in"), (["torch.in", "torch.cpu.in"], "torch.cpu.in"), ([], "torch.in")],
)
def test_a_cells_own_list_comes_first(present: list[str], expected: str) -> None:
    assert requirement_file("torch.in", "cpu", present) == expected


def numpy(tags: str, letter: str, url: str = "") -> Candidate:
    sha256 = digest(letter) if letter else ""
    return Candidate(filename=f"numpy-1.26.4-{tags}.whl", sha256=sha256, url=url)


def test_choose_takes_the_cells_wheel() -> None:
    linux = numpy("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "a")
    others = [
        numpy("cp311-cp311-macosx_11_0_arm64", "b"),
        numpy("cp312-cp312-manylinux2014_x86_64", "c"),
    ]
    assert choose(PIN, [*others, linux], TAGS) == linux


def test_choose_prefers_whoever_states_the_hash() -> None:
    silent, stated = (numpy("py3-none-any", letter, url=f"x/{letter}") for letter in ("", "a"))
    assert choose(PIN, [silent, stated], TAGS) == stated
    assert choose(PIN, [silent], TAGS) == silent


def test_one_name_for_two_files_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"numpy-1.26.4-py3-none-any.whl: .* different files") as e:
        choose(PIN, [numpy("py3-none-any", "a"), numpy("py3-none-any", "b")], TAGS)
    assert str(e.value.hint).startswith(f"sha256 {digest('a')}, {digest('b')}")


def test_no_wheel_for_the_cell_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"numpy==1.26.4: the index has no wheel"):
        choose(PIN, [numpy("cp312-cp312-win_amd64", "a")], TAGS)


@pytest.mark.parametrize(
    ("filenames", "expected"),
    [
        (["a-1.zip", "a-1.tar.gz", "a-1-py3-none-any.whl"], "a-1.tar.gz"),
        (["a-1.zip"], "a-1.zip"),
    ],
)
def test_choose_sdist(filenames: list[str], expected: str) -> None:
    offered = [Candidate(filename=filename, sha256=digest("a")) for filename in filenames]
    assert choose_sdist("a", Version("1"), offered).filename == expected


def test_no_sdist_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a==1: the index has no sdist of it"):
        choose_sdist("a", Version("1"), [Candidate(filename="a-1-py3-none-any.whl", sha256="")])


def torch(version: str, filename: str) -> Artifact:
    chosen = Candidate(filename=filename, sha256="", url="https://u:p@private.example/x")
    return artifact("Torch", version, chosen, measured=(digest("a"), 7))


def test_a_locked_file_names_its_channel_and_no_mirror() -> None:
    assert torch("2.11.0", "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl") == Artifact(
        kind=ArtifactKind.WHEEL,
        name="torch",
        version="2.11.0",
        filename="torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256=digest("a"),
        size=7,
        channel="package-index",
    )


@pytest.mark.parametrize(
    ("version", "location"),
    [
        ("2.13.0+cpu", "https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-x.whl"),
        ("1.9.1+cu111", "https://download.pytorch.org/whl/cu111/torch-1.9.1%2Bcu111-x.whl"),
    ],
)
def test_torchs_own_builds_come_from_torchs_index(version: str, location: str) -> None:
    found = torch(version, f"torch-{version}-x.whl")
    assert (found.channel, found.location) == ("torch-index", location)


def test_a_locked_pin_has_one_hash_and_honest_origins() -> None:
    chosen = torch("1.26.4", "numpy-1.26.4-py3-none-any.whl")
    assert locked_pin(PIN, chosen) == Pin(
        name="numpy", version="1.26.4", hashes=(digest("a"),), via=("requirements/runtime.in",)
    )
