"""A second build held against the first: which likeness, and what passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.commands.build import build, key_of
from builder.commands.reproduce import Reader, record, reproduce
from builder.domain.comparison import FileFacts, ImageFacts, Likeness
from builder.domain.lockfile import ExpectedImage
from builder.errors import UsageError
from tests.unit.commands import fakes

FILE = FileFacts(kind="file", mode=0o644, owner="0:0", mtime=5, content="c")


@dataclass(frozen=True)
class Case:
    """The digests of two builds, their layers, their files, and what must come of it."""

    digests: Sequence[str]
    layers: Sequence[str]
    files: Sequence[str]
    likeness: Likeness
    verdict: str
    engine: str = "fake"  # of the first build


def reader(case: Case) -> Reader:
    def which(layout: Path) -> int:
        return ["first", "second"].index(layout.name)

    def image(layout: Path) -> ImageFacts:
        digest = (layout / "digest").read_text()
        return fakes.facts(digest, case.layers[which(layout)])

    def files(layout: Path) -> Mapping[str, FileFacts]:
        return {"x": replace(FILE, content=case.files[which(layout)])}

    return Reader(image=image, files=files)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case("aa", "11", "xx", Likeness.DIGEST, "passes"), id="same"),
        pytest.param(Case("ab", "11", "xx", Likeness.LAYERS, "fails"), id="compression"),
        pytest.param(
            Case("ab", "11", "xx", Likeness.LAYERS, "passes", engine="other"),
            id="compression-of-other",
        ),
        pytest.param(Case("ab", "12", "xx", Likeness.FILES, "fails"), id="layers"),
        pytest.param(
            Case("ab", "12", "xx", Likeness.FILES, "passes", engine="other"), id="layers-of-other"
        ),
        pytest.param(Case("ab", "12", "xy", Likeness.DIFFERENT, "fails"), id="files"),
        pytest.param(
            Case("ab", "12", "xy", Likeness.DIFFERENT, "fails", engine="other"), id="files-of-other"
        ),
    ],
)
def test_against_the_kept_image(case: Case, tmp_path: Path) -> None:
    store = fakes.FakeStore()
    first = fakes.FakeEngine(digests=[case.digests[0]], name=case.engine)
    second = fakes.FakeEngine(digests=[case.digests[1]])
    build(fakes.order(), fakes.tools(tmp_path / "before", engine=first, store=store))
    tools = fakes.tools(tmp_path, engine=second, store=store)
    found = reproduce(fakes.order(), tools, reader(case), first_engine=first)
    assert found.comparison.likeness is case.likeness
    assert found.passed is (case.verdict == "passes")
    assert [wheel.same for wheel in found.wheels] == [True]
    assert second.images == {}, "the second image is not left behind"
    assert all(request.cold for request in second.builds)


def test_an_op_wheel_that_differs_is_not_reproduced(tmp_path: Path) -> None:
    store, engine = fakes.FakeStore(), fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path / "before", engine=engine, store=store))
    engine.wheel = b"other"
    case = Case("aa", "11", "xx", Likeness.DIGEST, "fails")
    tools = fakes.tools(tmp_path, engine=engine, store=store)
    order = replace(fakes.order(), compile=True)
    found = reproduce(order, tools, reader(case), first_engine=engine)
    assert [wheel.same for wheel in found.wheels] == [False]
    assert not found.passed


def expected(digest: str, layer: str, key: str = "") -> ExpectedImage:
    return ExpectedImage(
        isa="x86-64-v2",
        target="runtime",
        key=key or key_of(fakes.order(), fakes.tools(Path())),
        digest=f"sha256:{fakes.sha(digest)}",
        diff_ids=(layer,),
        engine="fake 1",
    )


@pytest.mark.parametrize(
    ("case", "differences"),
    [
        pytest.param(Case("aa", "11", "xx", Likeness.DIGEST, "passes"), (), id="same"),
        pytest.param(
            Case("ab", "12", "xx", Likeness.DIFFERENT, "fails"),
            ("layer 1: 1 -> 2 (build it twice here to see which files)",),
            id="layers",
        ),
    ],
)
def test_against_the_lock(case: Case, differences: tuple[str, ...], tmp_path: Path) -> None:
    lock = replace(fakes.LOCK, expected=(expected(case.digests[0], case.layers[0]),))
    engine = fakes.FakeEngine(digests=[case.digests[1]])
    tools = fakes.tools(tmp_path, engine=engine)
    found = reproduce(fakes.order(lock), tools, reader(case), first_engine=engine)
    assert found.comparison.likeness is case.likeness
    assert found.passed is (case.verdict == "passes")
    assert found.comparison.differences == differences
    assert found.against == "lock, built by fake 1"


def test_the_locks_image_of_other_inputs_says_nothing(tmp_path: Path) -> None:
    lock = replace(fakes.LOCK, expected=(expected("a", "1", key="of older inputs"),))
    engine = fakes.FakeEngine(digests=["b"])
    case = Case("bb", "22", "xx", Likeness.DIGEST, "passes")
    build(fakes.order(lock), fakes.tools(tmp_path / "before", engine=engine))
    tools = fakes.tools(tmp_path, engine=engine)
    found = reproduce(fakes.order(lock), tools, reader(case), first_engine=engine)
    assert (found.against, found.passed) == ("cellar/bevformer:cpu of this machine", True)
    assert found.key != "of older inputs"


def test_nothing_to_compare_with_is_said_before_building(tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    tools = fakes.tools(tmp_path, engine=engine)
    case = Case("aa", "11", "xx", Likeness.DIGEST, "passes")
    with pytest.raises(UsageError, match=r"^nothing to compare cellar/bevformer:cpu with"):
        reproduce(fakes.order(), tools, reader(case), first_engine=engine)
    assert engine.builds == []


def test_what_is_recorded_replaces_its_own_kind_only(tmp_path: Path) -> None:
    devel = replace(expected("d", "3"), target="devel")
    lock = replace(fakes.LOCK, expected=(devel, expected("a", "1")))
    engine = fakes.FakeEngine(digests=["b"])
    case = Case("ab", "12", "xx", Likeness.DIFFERENT, "fails")
    tools = fakes.tools(tmp_path, engine=engine)
    found = reproduce(fakes.order(lock), tools, reader(case), first_engine=engine)
    assert record(fakes.order(lock), found).expected == (devel, expected("b", "2"))
