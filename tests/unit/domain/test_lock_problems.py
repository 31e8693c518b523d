"""A lock that does not fit its cell says all of it at once, by file and field."""

from dataclasses import replace

import pytest

from builder.adapters.files import schema
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import ImageDefinition
from builder.domain.lock_files import Reading, dump, read
from builder.domain.lock_problems import cell_digest, check, problems
from builder.domain.lockfile import Lock, RebuildInputs
from builder.domain.matrix import Cell
from builder.errors import DataError
from tests.unit.lock_examples import (
    CPU,
    DEFINITION,
    IMAGE,
    LOCK,
    MATRIX,
    TQDM_ANEW,
    deb,
    digest,
    layer,
    wheel,
)


def with_debs(**groups: tuple[Artifact, ...]) -> Lock:
    return replace(LOCK, debs={**LOCK.debs, **groups})


def with_runtime(*artifacts: Artifact, requirements: str | None = None) -> Lock:
    made = layer("runtime", *artifacts)
    if requirements is not None:
        made = replace(made, requirements=requirements)
    return replace(LOCK, pip=(LOCK.pip[0], made, LOCK.pip[2]))


def anew(*rebuilds: RebuildInputs) -> Lock:
    return replace(LOCK, rebuilds=rebuilds)


TQDM = LOCK.pip[1].artifacts[0]
FOREIGN = wheel("numpy", "1.26.4", "numpy-1.26.4-cp312-cp312-macosx_11_0_arm64.whl", "7")


def test_a_sound_lock_has_no_problem() -> None:
    assert problems(LOCK, cell=CPU, digest=DEFINITION.digest) == ()
    assert problems(anew(TQDM_ANEW), cell=CPU, digest=DEFINITION.digest) == ()
    assert check(Reading(LOCK, ()), image="bevformer", cell=CPU, digest=DEFINITION.digest) is LOCK


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        pytest.param(
            replace(LOCK, cell_digest=f"sha256:{digest('0')}"),
            "lock.json: cell_digest: the lock belongs to an older matrix or requirement list",
            id="older-matrix",
        ),
        pytest.param(
            replace(LOCK, cell="cu130"),
            "lock.json: cell: 'cu130', but it lies in the folder of 'cpu'",
            id="another-cell",
        ),
        pytest.param(
            with_runtime(TQDM, FOREIGN),
            "pip.json: layers[1].artifacts[1].filename: "
            "numpy-1.26.4-cp312-cp312-macosx_11_0_arm64.whl is another platform's wheel "
            "(cpu is Python 3.11 on bookworm, x86-64)",
            id="foreign-wheel",
        ),
        pytest.param(
            with_runtime(TQDM, requirements="tqdm==4.70.1\n"),
            "pip/runtime.txt: tqdm: it has no hash",
            id="no-hash",
        ),
        pytest.param(
            with_runtime(TQDM, requirements=f"tqdm==4.70.1 --hash=sha256:{digest('9')}\n"),
            "pip/runtime.txt: tqdm: its hash is not the one of tqdm-4.70.1-py3-none-any.whl "
            "in pip.json",
            id="other-hash",
        ),
        pytest.param(
            with_runtime(TQDM, requirements=f"tqdm==4 --hash=sha256:{TQDM.sha256}\n"),
            "pip/runtime.txt: tqdm: 4, but pip.json has 4.70.1",
            id="other-version",
        ),
        pytest.param(
            with_runtime(TQDM, requirements=""),
            "pip/runtime.txt: tqdm is in pip.json, but not here",
            id="no-line",
        ),
        pytest.param(
            with_runtime(TQDM, requirements=LOCK.pip[1].requirements + "x==1 --hash=sha256:1\n"),
            "pip/runtime.txt: x: it has no hash",
            id="half-a-hash",
        ),
        pytest.param(
            with_runtime(TQDM, requirements="tqdm\n"),
            "pip/runtime.txt: 'tqdm' is not a pin of the form name==version",
            id="no-pin",
        ),
        pytest.param(
            with_debs(base=()), "apt.json: groups.base: it is missing or empty", id="no-base"
        ),
        pytest.param(
            with_debs(base=(replace(LOCK.debs["base"][0], kind=ArtifactKind.WHEEL),)),
            "apt.json: groups.base[0].kind: python3.11_1.0-1_amd64.deb is a wheel, not a deb",
            id="no-deb",
        ),
        pytest.param(
            with_debs(base=(replace(LOCK.debs["base"][0], architecture="arm64"),)),
            "apt.json: groups.base[0].architecture: python3.11_1.0-1_amd64.deb is not for amd64 "
            "(cpu)",
            id="foreign-deb",
        ),
        pytest.param(
            with_debs(base=(replace(LOCK.debs["base"][0], location="pool/x.deb"),)),
            "apt.json: groups.base[0].location: pool/x.deb does not end in "
            "python3.11_1.0-1_amd64.deb",
            id="other-file",
        ),
        pytest.param(
            with_debs(base=(deb("python3.11", "b"), deb("dpkg", "8"))),
            "apt.json: dpkg is locked 2 times",
            id="deb-twice",
        ),
        pytest.param(
            with_runtime(TQDM, wheel("pip", "26.3", "pip-26.3-py3-none-any.whl", "e")),
            "pip.json: pip is locked 2 times",
            id="wheel-twice",
        ),
        pytest.param(
            replace(LOCK, pip=(layer("torch", replace(LOCK.pip[0].artifacts[0], version="2.12"))
                               , *LOCK.pip[1:])),
            "pip.json: torch: 2.12, but the matrix says 2.13.0+cpu",
            id="other-torch",
        ),
        pytest.param(
            anew(replace(TQDM_ANEW, layer=layer("rebuild-tqdm", FOREIGN))),
            "rebuilds.json: rebuilds[0].artifacts[0].filename: "
            "numpy-1.26.4-cp312-cp312-macosx_11_0_arm64.whl is another platform's wheel "
            "(cpu is Python 3.11 on bookworm, x86-64)",
            id="foreign-wheel-of-a-rebuild",
        ),
        pytest.param(
            anew(replace(TQDM_ANEW, layer=replace(TQDM_ANEW.layer, requirements=""))),
            "pip/rebuild-tqdm.txt: cython is in pip.json, but not here",
            id="no-line-of-a-rebuild",
        ),
        pytest.param(
            anew(TQDM_ANEW, TQDM_ANEW),
            "rebuilds.json: tqdm is locked 2 times",
            id="rebuild-twice",
        ),
        pytest.param(
            replace(LOCK, sources=()),
            "pip.json: mmcv-full: none, but the matrix says 1.7.2",
            id="no-mmcv",
        ),
    ],
)  # fmt: skip
def test_each_fault_has_its_line(lock: Lock, expected: str) -> None:
    assert expected in problems(lock, cell=CPU, digest=DEFINITION.digest)


@pytest.mark.parametrize("cell", [MATRIX.cell("cu111"), MATRIX.cell("cu118")], ids=lambda c: c.id)
def test_a_registry_base_must_have_the_digest_of_the_matrix(cell: Cell) -> None:
    wanted = cell.base.digest  # type: ignore[union-attr]
    assert f"base.json: artifact.sha256: none, but the matrix says {wanted}" in problems(
        replace(LOCK, cell=cell.id), cell=cell, digest=LOCK.cell_digest
    )
    held = replace(LOCK.sources[0], sha256=wanted.removeprefix("sha256:"))
    found = problems(replace(LOCK, base=held), cell=cell, digest=LOCK.cell_digest)
    assert not [fault for fault in found if fault.startswith("base.json")]


def test_every_fault_of_form_and_of_content_comes_in_one_message() -> None:
    bad = replace(
        with_runtime(TQDM, FOREIGN),
        cell_digest=f"sha256:{digest('0')}",
    )
    texts = dict(dump(bad))
    texts["apt.json"] = texts["apt.json"].replace(f'"sha256": "{digest("a")}",', "", 1)
    reading = read(texts, schema("lock"))
    with pytest.raises(DataError) as caught:
        check(reading, image="bevformer", cell=CPU, digest=DEFINITION.digest)
    assert str(caught.value).splitlines() == [
        "lock/bevformer/cpu/apt.json: groups.essential[0]: 'sha256' is a required property",
        (
            "lock/bevformer/cpu/lock.json: cell_digest: the lock belongs to an older matrix or "
            "requirement list"
        ),
        "lock/bevformer/cpu/apt.json: groups.essential: it is missing or empty",
        (
            "lock/bevformer/cpu/pip.json: layers[1].artifacts[1].filename: "
            "numpy-1.26.4-cp312-cp312-macosx_11_0_arm64.whl is another platform's wheel "
            "(cpu is Python 3.11 on bookworm, x86-64)"
        ),
    ]
    assert caught.value.hint == "make it anew: `make lock CELL=cpu`"
    assert caught.value.exit_code == 9


def test_a_lock_that_cannot_be_read_at_all_is_refused() -> None:
    with pytest.raises(DataError, match=r"lock/bevformer/cpu/lock.json: the file is missing"):
        check(
            Reading(None, ("lock.json: the file is missing",)),
            image="bevformer",
            cell=CPU,
            digest="",
        )


REQUIREMENTS = {"torch.in": "torch  # the cell's\n", "base.apt": "python{python}\n"}


CU111, CU118, CU124, CU130 = (MATRIX.cell(name) for name in ("cu111", "cu118", "cu124", "cu130"))
NEW_FENCE = replace(IMAGE, not_after="2030-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("cell", "image", "requirements"),
    [
        pytest.param(replace(CPU, python=CU111.python), IMAGE, REQUIREMENTS, id="python"),
        pytest.param(replace(CPU, torch=CU130.torch), IMAGE, REQUIREMENTS, id="torch"),
        pytest.param(replace(CPU, base=CU124.base), IMAGE, REQUIREMENTS, id="suite"),
        pytest.param(replace(CPU, base=CU118.base), IMAGE, REQUIREMENTS, id="registry"),
        pytest.param(replace(CPU, toolkit=CU124.toolkit), IMAGE, REQUIREMENTS, id="toolkit"),
        pytest.param(replace(CPU, packages={}), IMAGE, REQUIREMENTS, id="packages"),
        pytest.param(replace(CPU, pins={"x": CPU.torch}), IMAGE, REQUIREMENTS, id="pins"),
        pytest.param(CPU, NEW_FENCE, REQUIREMENTS, id="time-fence"),
        pytest.param(CPU, replace(IMAGE, epoch=1), REQUIREMENTS, id="epoch"),
        pytest.param(CPU, IMAGE, REQUIREMENTS | {"torch.in": "torch\nx\n"}, id="requirement"),
        pytest.param(CPU, IMAGE, REQUIREMENTS | {"new.in": "x\n"}, id="another-list"),
    ],
)
def test_what_makes_a_lock_old(
    cell: Cell, image: ImageDefinition, requirements: dict[str, str]
) -> None:
    assert cell_digest(cell, image, requirements) != cell_digest(CPU, IMAGE, REQUIREMENTS)


def test_wording_does_not_make_a_lock_old() -> None:
    reworded = REQUIREMENTS | {"torch.in": "# why\ntorch\n", "empty.in": "# nothing\n"}
    cell, image = replace(CPU, summary="x", gpu_archs=()), replace(IMAGE, title="x")
    assert cell_digest(cell, image, reworded) == cell_digest(CPU, IMAGE, REQUIREMENTS)
