import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.adapters.archives.unpack import deb_data, unpack_tar
from builder.adapters.archives.unzip import unpack_zip
from builder.adapters.storage.tree import Limits
from builder.errors import IntegrityError
from tests.hostile_archives import debs, entry, folder, hard, link, tar_of, tars, zips

TARS = [pytest.param(data, id=name) for name, data in tars()]
ZIPS = [pytest.param(data, id=name) for name, data in zips()]
DEBS = [pytest.param(data, id=name) for name, data in debs()]
ROOT = os.geteuid() == 0 and "4294967295" in Path("/proc/self/uid_map").read_text()
TIGHT = Limits(entries=1000, ratio=100)
ROOTLY = Limits(entries=1000, ratio=100, ownership=True)


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """Return a folder with a canary, in which `in` may be made and nothing else may change."""
    (tmp_path / "canary").write_bytes(b"canary")
    return tmp_path


def look(ground: Path) -> list[tuple[str, int, int]]:
    return sorted(
        (str(path.relative_to(ground)), path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in ground.rglob("*")
    )


def test_there_are_enough_of_them() -> None:
    assert len(TARS) + len(ZIPS) + len(DEBS) >= 90


@pytest.mark.parametrize("data", TARS)
def test_hostile_tars_are_refused_whole(data: bytes, ground: Path) -> None:
    before = look(ground)
    with pytest.raises(IntegrityError):
        unpack_tar(io.BytesIO(data), ground / "in", limits=TIGHT)
    assert look(ground) == before
    assert not Path("/out").exists()


@pytest.mark.parametrize("data", TARS)
def test_hostile_tars_change_nothing_outside_of_a_root_file_system(
    data: bytes, ground: Path
) -> None:
    """With links to anywhere allowed some are well-formed; none may write through a link."""
    before = look(ground)
    try:
        unpack_tar(io.BytesIO(data), ground / "in", limits=ROOTLY)
    except IntegrityError:
        assert look(ground) == before
    else:
        assert all(path.is_symlink() for path in (ground / "in").rglob("*") if not path.is_dir())
        assert [row for row in look(ground) if row[0].split("/")[0] != "in"] == before
    assert not Path("/out").exists()


@pytest.mark.parametrize("data", ZIPS)
def test_hostile_zips_are_refused_whole(data: bytes, ground: Path) -> None:
    archive = ground / "archive.zip"
    archive.write_bytes(data)
    before = look(ground)
    with pytest.raises(IntegrityError, match=r"archive\.zip"):
        unpack_zip(archive, ground / "in", limits=TIGHT)
    assert look(ground) == before
    assert not Path("/out").exists()


@pytest.mark.parametrize("data", DEBS)
def test_damaged_debs_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="not a Debian package"):
        deb_data(path)


MEMBERS = (
    folder("./"),
    folder("./usr"),
    entry("./usr/program", b"#!", mode=0o4755),
    hard("./usr/same", "./usr/program"),
    link("./usr/link", "program"),
    entry("./deep/er/file", b"text", mode=0o640, mtime=1_000_000),
    entry("./systemd\\x2dname", b""),
    entry("./\udcff", b"not utf-8"),
    folder("./usr"),
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_honest_tars(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    unpack_tar(io.BytesIO(pack(tar_of(*MEMBERS))), tmp_path / "in")
    root = tmp_path / "in"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == sorted(
        [
            *("usr", "usr/program", "usr/same", "usr/link", "deep", "deep/er", "deep/er/file"),
            *("systemd\\x2dname", "\udcff"),
        ]
    )
    assert (root / "usr/program").stat().st_mode & 0o7777 == 0o755  # nobody gains a right
    assert (root / "usr/program").stat().st_nlink == 2
    assert (root / "usr/link").read_bytes() == b"#!"
    assert (root / "deep/er/file").stat().st_mtime == 1_000_000


@pytest.mark.skipif(not ROOT, reason="only root, outside of a user namespace, gives files away")
def test_a_root_file_system_keeps_owners_modes_and_links(tmp_path: Path) -> None:
    data = tar_of(
        entry("sudo", b"#!", mode=0o4755, uid=7, gid=8),
        folder("tmp"),
        entry("sgid", b"", type=tarfile.DIRTYPE, mode=0o2775, gid=8),
        link("abs", "/etc/alternatives/x"),
    )
    unpack_tar(io.BytesIO(data), tmp_path / "in", limits=Limits(ownership=True))
    found = (tmp_path / "in" / "sudo").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o4755, 7, 8)
    assert (tmp_path / "in" / "sgid").stat().st_mode & 0o7777 == 0o2775
    assert str((tmp_path / "in" / "abs").readlink()) == "/etc/alternatives/x"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("streamed", [False, True])
def test_honest_zips(method: int, streamed: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a table
    path = tmp_path / "wheel.whl"

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return not streamed

        def tell(self) -> int:
            if streamed:
                raise OSError
            return super().tell()

    out = Pipe()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("package/__init__.py", "x = 1\n" * 100)
        archive.writestr("package/bin/", "")
        tool = zipfile.ZipInfo("package/bin/tool")
        tool.external_attr = 0o100755 << 16
        archive.writestr(tool, "#!/bin/sh\n", method)
        archive.writestr("grüße.txt", "ä")
    path.write_bytes(out.getvalue())
    unpack_zip(path, tmp_path / "in")
    root = tmp_path / "in"
    files = {
        str(one.relative_to(root)): one.read_text() for one in root.rglob("*") if one.is_file()
    }
    assert files == {
        "package/__init__.py": "x = 1\n" * 100,
        "package/bin/tool": "#!/bin/sh\n",
        "grüße.txt": "ä",
    }
    assert (root / "package/bin/tool").stat().st_mode & 0o777 == 0o755


def test_names_that_differ_only_in_case_or_unicode_form_stay_apart(tmp_path: Path) -> None:
    names = ["File", "file", "caf\u00e9", "cafe\u0301"]
    unpack_tar(io.BytesIO(tar_of(*(entry(one, one.encode()) for one in names))), tmp_path / "in")
    assert {one.name: one.read_text() for one in (tmp_path / "in").iterdir()} == {
        one: one for one in names
    }
