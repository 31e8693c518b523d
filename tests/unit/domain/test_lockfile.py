"""A lock as a build reads it: with what its ISA level has compiled anew, and no other rebuild."""

from dataclasses import replace

import pytest
from packaging.version import Version

from builder.domain.lockfile import Lock
from builder.domain.tables import Rebuild
from builder.errors import DataError
from tests.unit.lock_examples import LOCK, TQDM_ANEW

ANEW = replace(LOCK, rebuilds=(TQDM_ANEW,))
TQDM = Rebuild(
    distribution="tqdm",
    version=Version("4.70.1"),
    requirements=("cython<4",),
    environment={},
    lacks="speed",
)


def test_without_a_rebuild_it_is_the_lock_that_never_had_one() -> None:
    assert ANEW.rebuilding(()) == LOCK
    assert ANEW.rebuilding(()).artifacts() == LOCK.artifacts()


def test_a_rebuild_takes_the_place_of_the_wheel() -> None:
    lock = ANEW.rebuilding([TQDM])
    assert [layer.name for layer in lock.pip] == ["torch", "runtime", "build", "rebuild-tqdm"]
    assert lock.layer("runtime").artifacts == ()
    assert lock.layer("rebuild-tqdm") == TQDM_ANEW.layer
    assert lock.sources == (*LOCK.sources, TQDM_ANEW.sdist)
    (wheel,) = LOCK.layer("runtime").artifacts
    made = {*LOCK.artifacts(), TQDM_ANEW.sdist, *TQDM_ANEW.layer.artifacts} - {wheel}
    assert set(lock.artifacts()) == made


def test_all_that_a_lock_holds_is_an_input_of_it() -> None:
    more = (TQDM_ANEW.sdist, *TQDM_ANEW.layer.artifacts)
    assert ANEW.artifacts() == (*LOCK.artifacts(), *more)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        pytest.param(LOCK, TQDM, id="none"),
        pytest.param(ANEW, replace(TQDM, version=Version("5")), id="another-version"),
        pytest.param(ANEW, replace(TQDM, requirements=("cython<5",)), id="other-requirements"),
    ],
)
def test_a_lock_without_the_inputs_says_so_in_one_line(lock: Lock, wanted: Rebuild) -> None:
    with pytest.raises(DataError) as caught:
        lock.rebuilding([wanted])
    assert (str(caught.value), caught.value.hint) == (
        f"lock/bevformer/cpu does not hold what compiles {wanted} anew",
        "`make lock CELL=cpu` adds it",
    )
