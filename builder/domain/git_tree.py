"""Git's hash of a tree of files: what a commit names, whatever archive brought the files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import TypeAlias

_PLAIN, _EXECUTABLE, _LINK, _FOLDER = b"100644", b"100755", b"120000", b"40000"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFile:
    """One file of a tree, as git sees it; a link's content is where it points."""

    path: tuple[str, ...]
    content: bytes
    executable: bool = False
    link: bool = False

    @property
    def mode(self) -> bytes:
        """Return git's mode of the file."""
        if self.link:
            return _LINK
        return _EXECUTABLE if self.executable else _PLAIN


_Node: TypeAlias = "dict[str, _Node] | tuple[bytes, bytes]"  # a folder, or mode and hash of a file


def tree_hash(files: Iterable[GitFile]) -> str:
    """Return the hash that git gives to the tree of `files`, as 40 hexadecimal digits."""
    root: dict[str, _Node] = {}
    for file in files:
        folder = root
        for name in file.path[:-1]:
            inner = folder.setdefault(name, {})
            assert isinstance(inner, dict)  # noqa: S101 - no file system has both under one name
            folder = inner
        folder[file.path[-1]] = (file.mode, _hash(b"blob", file.content))
    return _folder(root).hex()


def _folder(nodes: Mapping[str, _Node]) -> bytes:
    rows = []
    for name, node in nodes.items():
        raw = name.encode()
        if isinstance(node, dict):  # git sorts a folder as if its name ended in a slash
            rows.append((raw + b"/", _FOLDER + b" " + raw + b"\0" + _folder(node)))
        else:
            rows.append((raw, node[0] + b" " + raw + b"\0" + node[1]))
    return _hash(b"tree", b"".join(row for _, row in sorted(rows)))


def _hash(kind: bytes, content: bytes) -> bytes:
    header = kind + b" " + str(len(content)).encode() + b"\0"
    return sha1(header + content, usedforsecurity=False).digest()
