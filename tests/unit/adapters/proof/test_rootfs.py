"""Unpacking an image as a folder, never outside it, and putting an emulator before its programs."""

import io
import stat
import tarfile
from pathlib import Path

import pytest

from builder.adapters.audit.image_files import open_image
from builder.adapters.proof.rootfs import emulate, inside, unpack
from builder.errors import UsageError

ASSETS = Path(__file__).parents[3] / "assets" / "isa"
PROGRAM = (ASSETS / "program.elf").read_bytes()
LIBRARY = (ASSETS / "clean.elf").read_bytes()


def layer(*members: tuple[str, bytes | str | None]) -> bytes:
    """Return a tar: bytes are a file, text a symbolic link (`=x`: a hard one), None a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                info.linkname = content.removeprefix("=")
            else:
                info.size = len(content)
            data = content if isinstance(content, bytes) else b""
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def image(path: Path, *layers: bytes) -> Path:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    listed = ", ".join(f'"{name}"' for name in names)
    manifest = f'[{{"Config": "c.json", "Layers": [{listed}]}}]'
    with tarfile.open(path, "w") as archive:
        contents = [b"{}", manifest.encode(), *layers]
        for name, content in zip(["c.json", "manifest.json", *names], contents, strict=True):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def unpacked(tmp_path: Path, *layers: bytes) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    with open_image(image(tmp_path / "image.tar", *layers)) as opened:
        unpack(opened, opened.head(), root)
    return root


def tree(root: Path) -> dict[str, str]:
    """Return what lies where: the text of files, the targets of links."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


TREES: dict[str, tuple[tuple[bytes, ...], dict[str, str]]] = {
    "later-layers-win": (
        (layer(("a", b"1"), ("b", b"1")), layer(("a", b"2"))),
        {"a": "2", "b": "1"},
    ),
    "whiteouts": (
        (
            layer(("d/a", b"1"), ("d/b", b"1"), ("e/c", b"1")),
            layer(("d/.wh.a", b""), (".wh.e", b"")),
        ),
        {"d/b": "1"},
    ),
    "opaque": (
        (layer(("d/a", b"1")), layer(("d", None), ("d/.wh..wh..opq", b""), ("d/b", b"2"))),
        {"d/b": "2"},
    ),
    "links": (
        (layer(("usr/lib", None), ("lib", "usr/lib"), ("x", b"1"), ("y", "=x")),),
        {"lib": "-> usr/lib", "x": "1", "y": "1"},
    ),
    "through-an-absolute-link": (
        (layer(("run", None), ("var", None), ("var/run", "/run")), layer(("var/run/x", b"1"))),
        {"run/x": "1", "var/run": "-> /run"},
    ),
    "file-in-place-of-a-folder": (
        (layer(("d/a", b"1")), layer(("d", b"2"))),
        {"d": "2"},
    ),
    "folder-in-place-of-a-file": (
        (layer(("d", b"1")), layer(("d", None), ("d/a", b"2"))),
        {"d/a": "2"},
    ),
}


@pytest.mark.parametrize(("layers", "expected"), TREES.values(), ids=TREES.keys())
def test_layers(tmp_path: Path, layers: tuple[bytes, ...], expected: dict[str, str]) -> None:
    assert tree(unpacked(tmp_path, *layers)) == expected


HOSTILE = {
    "dots": layer(("../../escaped", b"x")),
    "absolute": layer(("/escaped", b"x")),
    "link-up": layer(("up", "../.."), ("up/escaped", b"x")),
    "absolute-link": layer(("out", "/"), ("out/escaped", b"x")),
    "hard-link": layer(("escaped", b"x"), ("e", "=../../escaped")),
    "whiteout": layer(("up", ".."), ("up/.wh.image.tar", b"")),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_is_written_or_removed_outside(tmp_path: Path, hostile: bytes) -> None:
    root = unpacked(tmp_path, hostile)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "root"]
    assert not Path("/escaped").exists()
    assert "escaped" in tree(root) or hostile is HOSTILE["whiteout"]


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError) as caught:
        inside(tmp_path, "a/c")
    assert str(caught.value) == "a/c: links in a circle"


def test_every_program_gets_the_emulator_before_it(tmp_path: Path) -> None:
    root = unpacked(
        tmp_path,
        layer(
            ("bin", "usr/bin"),
            ("usr/bin/sh", PROGRAM),
            ("usr/bin/it's", PROGRAM),
            ("usr/bin/script", b"#!/bin/sh\n"),
            ("usr/lib/libx.so.1", LIBRARY),
            ("usr/lib/plugin.so", LIBRARY),
        ),
    )
    qemu = tmp_path / "qemu"
    qemu.write_text("emulator")
    assert emulate(root, qemu, "qemu64,-pni") == 2
    assert (root / ".cellar" / "sh").read_bytes() == PROGRAM
    assert (root / "usr/bin/.cellar-sh").read_bytes() == PROGRAM
    assert (root / "usr/bin/it's").read_text() == (
        "#!/.cellar/sh\n"
        'exec /.cellar/qemu -cpu qemu64,-pni -0 "$0" \'/usr/bin/.cellar-it\'"\'"\'s\' "$@"\n'
    )
    assert stat.S_IMODE((root / "usr/bin/sh").stat().st_mode) == 0o755
    assert (root / "usr/lib/libx.so.1").read_bytes() == LIBRARY


def test_an_image_without_a_shell_is_refused(tmp_path: Path) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text("emulator")
    root = unpacked(tmp_path, layer(("usr/bin/true", PROGRAM)))
    with pytest.raises(UsageError) as caught:
        emulate(root, qemu, "Nehalem")
    assert str(caught.value).endswith("the image has no /bin/sh")
