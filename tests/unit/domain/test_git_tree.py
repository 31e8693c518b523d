"""Git's own hashes of trees, as `git write-tree` gave them for these files."""

import pytest

from builder.domain.git_tree import GitFile, tree_hash


def file(path: str, content: str = "", *, executable: bool = False, link: bool = False) -> GitFile:
    return GitFile(
        path=tuple(path.split("/")), content=content.encode(), executable=executable, link=link
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param([], "4b825dc642cb6eb9a060e54bf8d69288fbee4904", id="nothing"),
        pytest.param([file("a", "x\n")], "4d593e935186bcc35450336864a1aad148210a14", id="one"),
        pytest.param(
            [file("a", "x\n", executable=True)],
            "c581009d8fe8df695fa7d3303f1cc123142e87a1",
            id="executable",
        ),
        pytest.param(
            [file("a", "b", link=True)], "79c8f43fc2b6210c5badb2c13595654b6c40b974", id="link"
        ),
        pytest.param(
            [file("a.b", "1"), file("a/c", "2"), file("a-b", "3"), file("z/y/x", "4")],
            "b1c2121fa806e168b71cd36aafb5e1402798a8cc",
            id="folders-sort-as-if-they-ended-in-a-slash",
        ),
    ],
)
def test_the_hash_is_that_of_git(files: list[GitFile], expected: str) -> None:
    assert tree_hash(files) == expected
    assert tree_hash(reversed(files)) == expected
