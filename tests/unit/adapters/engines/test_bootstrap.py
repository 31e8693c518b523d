"""The first layer of a Debian base, from packages made here."""

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from builder.adapters.engines import oci
from builder.adapters.engines.bootstrap import write_bootstrap
from builder.errors import IntegrityError


def deb(path: Path, *members: tarfile.TarInfo, packing: Literal["gz", "xz"] = "xz") -> Path:
    """Write a Debian package that holds `members`; plain files hold their own name."""
    data = io.BytesIO()
    mode: Literal["w:gz", "w:xz"] = "w:gz" if packing == "gz" else "w:xz"
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for member in members:
            content = member.name.encode() if member.isreg() else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", f"data.tar.{packing}": data.getvalue()}
    archive = b"!<arch>\n"
    for name, content in parts.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        archive += header.encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(archive)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mtime, entry.uname = kind, link, 7, "somebody"
    return entry


def packages(folder: Path) -> list[Path]:
    return [
        deb(
            folder / "b_1.deb",
            member("./lib", tarfile.DIRTYPE),
            member("./lib/libb.so"),
            member("./usr/share/doc/b"),
            packing="gz",
        ),
        deb(
            folder / "a_1.deb",
            member("./bin/a"),
            member("./bin/a2", tarfile.LNKTYPE, "./bin/a"),
            member("./bin/a3", tarfile.SYMTYPE, "/etc/alternatives/a"),
            member("./usr/share/doc/b"),
        ),
    ]


def test_files_lie_in_a_merged_usr(tmp_path: Path) -> None:
    write_bootstrap(packages(tmp_path), tmp_path / "layout", epoch=5)
    files = oci.read_files(tmp_path / "layout")
    plain = {name: facts for name, facts in files.items() if facts.kind == "file"}
    assert sorted(plain) == [
        "usr/bin/a",
        "usr/bin/a2",
        "usr/lib/libb.so",
        "usr/share/doc/b",
        "var/lib/dpkg/available",
        "var/lib/dpkg/status",
    ]
    assert files["usr/bin/a2"] == files["usr/bin/a"]
    assert (files["lib"].content, files["usr/bin/a3"].content) == ("usr/lib", "/etc/alternatives/a")
    assert {facts.mtime for facts in files.values()} == {5}
    assert files["tmp"].mode == 0o1777


def test_the_order_of_the_packages_changes_no_byte(tmp_path: Path) -> None:
    debs = packages(tmp_path)
    digests = set()
    for number, order in enumerate([debs, debs[::-1]]):
        write_bootstrap(order, tmp_path / str(number), epoch=5)
        digests.add(oci.layout_digest(tmp_path / str(number)))
    assert len(digests) == 1


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"!<arch>\n"], ids=["empty", "text", "no-data"]
)
def test_what_is_no_package_is_named(content: bytes, tmp_path: Path) -> None:
    broken = tmp_path / "broken_1.deb"
    broken.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"^broken_1\.deb: not a readable Debian package"):
        write_bootstrap([broken], tmp_path / "layout", epoch=5)
