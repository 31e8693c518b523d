"""Edits of upstream sources: exact, counted, and all misses named at once."""

import pytest

from builder.domain.edits import Edit, apply, needed
from builder.errors import DataError


def edit(  # noqa: PLR0913 - the fields of an edit
    file: str = "a.py",
    find: str = "old",
    replace: str = "new",
    *,
    count: int = 1,
    source: str = "upstream",
    cells: tuple[str, ...] = (),
) -> Edit:
    return Edit(
        source=source,
        file=file,
        find=find,
        replace=replace,
        count=count,
        why="it breaks",
        until="it is mended",
        cells=cells,
    )


@pytest.mark.parametrize(
    ("edits", "files", "changed"),
    [
        pytest.param([], {"a.py": "old"}, {}, id="none"),
        pytest.param(
            [edit()], {"a.py": "an old one", "b.py": "old"}, {"a.py": "an new one"}, id="one"
        ),
        pytest.param([edit(count=2)], {"a.py": "old old"}, {"a.py": "new new"}, id="twice"),
        pytest.param(
            [edit(), edit(find="new", replace="newer")],
            {"a.py": "old"},
            {"a.py": "newer"},
            id="one-after-the-other",
        ),
        pytest.param([edit(), edit(find="new", replace="old")], {"a.py": "old"}, {}, id="undone"),
        pytest.param([edit(find="", count=0)], {}, {"a.py": "new"}, id="a-new-file"),
        pytest.param(
            [edit(find="", count=0), edit(find="new", replace="newer")],
            {},
            {"a.py": "newer"},
            id="a-new-file-edited",
        ),
    ],
)
def test_edits_change_what_they_name(
    edits: list[Edit], files: dict[str, str], changed: dict[str, str]
) -> None:
    assert apply(edits, files) == changed


def test_every_edit_that_does_not_match_is_named() -> None:
    edits = [
        edit(),
        edit(find="line one\nline two", count=1),
        edit(find="x", count=3),
        edit(find="\n", count=1),
        edit(file="gone.py"),
        edit(find="", count=0),
    ]
    with pytest.raises(DataError) as caught:
        apply(edits, {"a.py": "old x x"})
    assert str(caught.value).splitlines() == [
        "upstream: a.py holds 'line one' not at all, and the edit wants once; the edit: it breaks",
        "upstream: a.py holds 'x' 2 times, and the edit wants 3 times; the edit: it breaks",
        "upstream: a.py holds '' not at all, and the edit wants once; the edit: it breaks",
        "upstream: gone.py does not exist; the edit: it breaks",
        "upstream: a.py exists already; the edit: it breaks",
    ]
    assert caught.value.hint == "compare the source's commit with edits.yaml"


def test_a_cell_gets_its_own_edits_and_those_for_all() -> None:
    everywhere, here, there = edit(), edit(cells=("cu111",)), edit(cells=("cu118", "cu124"))
    other = edit(source="detectron2")
    assert needed([everywhere, here, there, other], source="upstream", cell="cu111") == (
        everywhere,
        here,
    )
