"""The making of a lock, with a resolver, an index and a git host that answer from tables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest
from packaging.version import Version

from builder.adapters.progress import PlainProgress
from builder.commands.lock import Tools, make, settle
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.lockfile import ExpectedImage, Lock
from builder.domain.locking import Definition, requirement_names
from builder.domain.matrix import DebianBase
from builder.domain.tables import Rebuild
from builder.domain.wheel_tags import Candidate
from builder.errors import DataError, NetworkError
from tests.unit.lock_examples import CPU, IMAGE, MATRIX, TORCH_FILE, TQDM_ANEW, deb, digest

COMPILED = {
    "torch": "torch==2.13.0+cpu\n    # via -r torch.in\nsympy==1.14.0\n    # via torch\n",
    "runtime": (
        "sympy==1.14.0\n    # via x\n"
        "numpy==1.26.4\n    # via\n    #   -r runtime.in\n    #   scipy\n"
    ),
    "build": "pip==26.3\n    # via -r build.in\n",
}
FILES = {
    "torch": [TORCH_FILE, "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl"],
    "sympy": ["sympy-1.14.0-py3-none-any.whl"],
    "numpy": [
        "numpy-1.26.4-cp311-cp311-win_amd64.whl",
        "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl",
        "numpy-1.26.4.tar.gz",
    ],
    "cython": ["cython-3.0-py3-none-any.whl"],
    "pip": ["pip-26.3-py3-none-any.whl"],
    "mmcv-full": ["mmcv-full-1.4.0.tar.gz"],
    "mmdet": ["mmdet-2.14.0-py3-none-any.whl"],
    "nuscenes-devkit": ["nuscenes_devkit-1.1.10-py3-none-any.whl"],
}


def definition(cell: str = "cpu", **requirements: str) -> Definition:
    chosen = MATRIX.cell(cell)
    names = requirement_names(IMAGE, chosen)
    lists = {"base.apt": "python{python}", "sources.in": "mmcv-full", **requirements}
    return Definition(
        cell=chosen, image=IMAGE, requirements={name: lists.get(name, "") for name in names}
    )


class World:
    """What a lock is made with, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.partial: Lock | None = None
        self.compiled = dict(COMPILED)

    def debs(
        self, base: DebianBase, groups: Mapping[str, Sequence[str]]
    ) -> Mapping[str, tuple[Artifact, ...]]:
        assert base.suite == "bookworm"
        return {group: (deb(f"in-{group}", str(place)),) for place, group in enumerate(groups)}

    def resolver(self, lock: Lock) -> AbstractContextManager["World"]:
        self.partial = lock
        return self._opened()

    @contextmanager
    def _opened(self) -> Iterator["World"]:
        yield self

    def compile(self, layer: str, requirements: str, constraints: str) -> str:
        self.asked.append((layer, requirements, constraints))
        return self.compiled[layer]

    def candidates(self, name: str, _version: str) -> Sequence[Candidate]:
        return [Candidate(filename=file, sha256=digest("a")) for file in FILES.get(name, ())]

    def measure(self, candidate: Candidate) -> tuple[str, int]:
        return digest(f"{len(candidate.filename):x}"[-1]), len(candidate.filename)

    def tools(self) -> Tools:
        return Tools(debs=self.debs, resolver=self.resolver, index=self)


def test_a_lock_is_made_layer_by_layer() -> None:
    world = World()
    asked = definition(**{"torch.in": "torch\n", "runtime.in": "numpy<2  # why\n"})
    lock = make(asked, world.tools(), PlainProgress())
    assert world.asked == [
        ("torch", "torch\n", "torch==2.13.0+cpu\n"),
        ("runtime", "numpy<2\n", "torch==2.13.0+cpu\nsympy==1.14.0\ntorch==2.13.0+cpu\n"),
        (
            "build",
            "",
            "torch==2.13.0+cpu\nnumpy==1.26.4\nsympy==1.14.0\ntorch==2.13.0+cpu\n",
        ),
    ]
    assert {layer.name: [one.filename for one in layer.artifacts] for layer in lock.pip} == {
        "torch": ["sympy-1.14.0-py3-none-any.whl", TORCH_FILE],
        "runtime": ["numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl"],
        "build": ["pip-26.3-py3-none-any.whl"],
    }
    (numpy,) = lock.pip[1].artifacts
    assert lock.pip[1].requirements == (
        f"numpy==1.26.4 \\\n    --hash=sha256:{numpy.sha256}\n"
        "    # via requirements/runtime.in, scipy\n"
    )
    assert [source.filename for source in lock.sources] == ["mmcv-full-1.4.0.tar.gz"]
    assert list(lock.debs) == ["essential", "base", "toolchain"]
    assert (lock.cell_digest, lock.unlocked, lock.base) == (asked.digest, (), None)


def test_the_base_is_made_of_the_locked_debs_alone() -> None:
    world = World()
    make(definition(), world.tools(), PlainProgress())
    assert world.partial is not None
    assert list(world.partial.debs) == ["essential", "base", "toolchain"]
    assert [layer.artifacts for layer in world.partial.pip] == [(), (), ()]


def test_an_index_that_does_not_answer_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(_self: World, name: str, _version: str) -> Sequence[Candidate]:
        message = f"a package index could not be asked for {name}: the connection was refused"
        raise NetworkError(message)

    monkeypatch.setattr(World, "candidates", silent)
    world = World()
    with pytest.raises(NetworkError, match="could not be asked for torch"):
        make(definition(), world.tools(), PlainProgress())
    assert (world.asked, world.partial) == ([], None)


def test_the_same_answers_give_the_same_lock() -> None:
    assert make(definition(), World().tools(), PlainProgress()) == make(
        definition(), World().tools(), PlainProgress()
    )


def test_a_lock_that_misses_its_matrix_is_never_returned() -> None:
    world = World()
    world.compiled["torch"] = "torch==2.12\n"
    with pytest.raises(DataError, match=r"torch: 2.12, but the matrix says 2.13.0\+cpu"):
        make(definition(), world.tools(), PlainProgress())


NUMPY = Rebuild(
    distribution="numpy",
    version=Version("1.26.4"),
    requirements=("cython<4", "sympy"),
    environment={},
    lacks="speed",
)


def test_what_compiles_a_wheel_anew_is_a_layer_of_its_own() -> None:
    world = World()
    world.compiled["rebuild-numpy"] = "cython==3.0\n    # via -r rebuild-numpy.in\nsympy==1.14.0\n"
    asked = replace(
        definition(), rebuilds=(NUMPY, replace(NUMPY, distribution="tqdm"))
    )  # the lock holds no tqdm
    lock = make(asked, world.tools(), PlainProgress())
    assert world.asked[3] == (
        "rebuild-numpy",
        "cython<4\nsympy\n",
        "torch==2.13.0+cpu\nnumpy==1.26.4\npip==26.3\nsympy==1.14.0\ntorch==2.13.0+cpu\n",
    )
    (one,) = lock.rebuilds
    assert (one.sdist.filename, one.requirements) == ("numpy-1.26.4.tar.gz", NUMPY.requirements)
    assert (one.layer.name, [file.filename for file in one.layer.artifacts]) == (
        "rebuild-numpy",
        ["cython-3.0-py3-none-any.whl"],  # sympy is in torch's layer, so in every stage
    )
    assert one.layer.requirements.endswith("    # via matrix.yaml\n")
    assert replace(lock, rebuilds=()) == make(definition(), World().tools(), PlainProgress())


def test_what_joins_unresolved_is_locked_in_the_runtime_layer() -> None:
    lists = {"unresolved.in": "mmdet==2.14.0\n"}
    lock = make(definition(**lists), World().tools(), PlainProgress())
    assert [one.name for one in lock.layer("runtime").artifacts] == ["numpy", "mmdet"]


def test_a_registry_cell_quotes_what_is_known_and_names_the_rest() -> None:
    lists = {
        "torch.in": "torch\nsetuptools\n",
        "runtime.in": "numpy\nscipy>=1\nyapf==0.40.1\n",
        "upstream.in": "mmdet\nnumba\n",
        "unresolved.in": "nuscenes-devkit==1.1.10\n",
        "quoted.txt": f"torch-1.9.1+cu111-cp38-cp38-linux_x86_64.whl {digest('7')} 70\n",
    }
    lock = make(definition("cu111", **lists), World().tools(), PlainProgress())
    assert lock.base == Artifact(
        kind=ArtifactKind.IMAGE,
        name="docker.io/nvidia/cuda",
        version="11.1.1-cudnn8-devel-ubuntu20.04",
        filename="cuda-11.1.1-cudnn8-devel-ubuntu20.04.manifest.json",
        sha256="83e4b2841034cdf45ea5b9a5b472eb2c07b1b23d4836d32666a881db29a8dceb",
        size=None,
        channel="registry",
        location="docker.io/nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04",
        quoted=True,
    )
    (torch,) = lock.layer("torch").artifacts
    assert (torch.sha256, torch.size, torch.quoted, torch.channel) == (
        digest("7"), 70, True, "torch-index",
    )  # fmt: skip
    assert [one.name for one in lock.layer("runtime").artifacts] == ["mmdet", "nuscenes-devkit"]
    open_rows = {row.name: row.version for row in lock.unlocked}
    assert open_rows == {
        "python3.8": "ubuntu20.04",
        "setuptools": "59.5.0",
        "dependencies of the layer torch": "any",
        "numpy": "1.19.5",
        "scipy": ">=1",
        "numba": "0.48.0",
        "yapf": "0.40.1",
        "dependencies of the layer runtime": "any",
        "antlr4-python3-runtime": "4.9.3",
        "fvcore": "0.1.5.post20221221",
        "mmsegmentation": "0.14.1",
        "torchvision": "0.10.1+cu111",
        "trimesh": "2.35.39",
    }
    assert {source.name: source.version for source in lock.sources} == {
        "mmcv-full": "1.4.0",
        "bevformer": "0+2f37d0d4932b",
        "detectron2": "0.6",
        "mmdet3d": "0.17.1",
    }
    bevformer = IMAGE.sources["bevformer"]
    assert lock.source("bevformer") == Artifact(
        kind=ArtifactKind.SOURCE,
        name="bevformer",
        version="0+2f37d0d4932b",
        filename=f"bevformer-{bevformer.commit}.tar",
        sha256=bevformer.sha256,
        size=bevformer.size,
        channel="git",
        location=f"{bevformer.url}/archive/{bevformer.commit}.tar.gz",
        tree=bevformer.tree,
    )


@pytest.mark.parametrize(
    "row",
    ["torch.whl aa 1", "torch-1.9.1-cp38-cp38-linux_x86_64.whl onlytwo", "a b c d"],
)
def test_a_malformed_quotation_is_named(row: str) -> None:
    with pytest.raises(DataError, match="is not `file sha256 bytes`"):
        make(definition("cu111", **{"quoted.txt": row}), World().tools(), PlainProgress())


def expected() -> ExpectedImage:
    return ExpectedImage(
        isa="x86-64", target="runtime", digest="d", diff_ids=(), engine="e", key="k"
    )


def test_what_is_known_of_built_images_outlives_an_equal_lock_only() -> None:
    lock = make(definition(), World().tools(), PlainProgress())
    old = replace(lock, expected=(expected(),))
    assert settle(lock, old) == old
    assert settle(replace(lock, sources=()), old).expected == ()
    assert settle(lock, None) == lock
    assert settle(replace(lock, rebuilds=(TQDM_ANEW,)), old).expected == old.expected
    assert CPU.id == lock.cell
