"""How two builds differ, file by file and setting by setting."""

from dataclasses import replace

import pytest

from builder.domain.comparison import (
    Comparison,
    FileFacts,
    ImageFacts,
    Likeness,
    compare_files,
    compare_settings,
)

FILE = FileFacts(kind="file", mode=0o644, owner="0:0", mtime=1, content="a" * 64)


@pytest.mark.parametrize(
    ("second", "differences"),
    [
        pytest.param({"opt/x": FILE}, (), id="same"),
        pytest.param({"opt/x": FILE, "mnt": FILE, "etc/hosts": FILE}, (), id="places-of-mounts"),
        pytest.param(
            {"opt/x": replace(FILE, mode=0o755)}, ("/opt/x: mode 0644 -> 0755",), id="mode"
        ),
        pytest.param(
            {"opt/x": replace(FILE, owner="5:5", mtime=2)},
            ("/opt/x: owner 0:0 -> 5:5, mtime 1 -> 2",),
            id="owner-and-time",
        ),
        pytest.param(
            {"opt/x": replace(FILE, content="b" * 64)},
            (f"/opt/x: content {'a' * 64} -> {'b' * 64}",),
            id="content",
        ),
        pytest.param(
            {"opt/y": FILE},
            ("/opt/x: only in the first build", "/opt/y: only in the second build"),
            id="other-paths",
        ),
    ],
)
def test_files(second: dict[str, FileFacts], differences: tuple[str, ...]) -> None:
    likeness = Likeness.DIFFERENT if differences else Likeness.FILES
    assert compare_files({"opt/x": FILE}, second) == Comparison(
        likeness=likeness, differences=differences
    )


def test_settings() -> None:
    one = ImageFacts(
        digest="d", layers=(), sizes=(), diff_ids=(), config={"User": '"0"', "Cmd": "[]"}
    )
    other = replace(one, config={"User": '"1"', "Cmd": "[]", "Env": "[]"})
    expected = ("setting Env: absent -> []", 'setting User: "0" -> "1"')
    assert compare_settings(one, other) == expected
    assert compare_files({}, {}, expected).likeness is Likeness.DIFFERENT
