"""Core files as qemu-user writes them, made up byte by byte."""

import shutil
import struct
import subprocess  # noqa: TID251 - qemu itself is asked once
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.adapters.audit.elf import ElfFile
from builder.adapters.proof.qemu_core import Crash, read_core

MEMORY = 0x10000
LIBRARY = 0x4001000000


def note(kind: int, content: bytes) -> bytes:
    return struct.pack("<III", 5, len(content), kind) + b"CORE\0\0\0\0" + content


def core(*, rip: int, signal: int = 4, listed: bool = True) -> bytes:
    """Return a core: one page with program headers, dynamic section and the loader's list."""
    status = bytearray(336)
    struct.pack_into("<H", status, 12, signal)
    struct.pack_into("<Q", status, 112 + 16 * 8, rip)
    page = bytearray(4096)
    phdr = struct.pack("<IIQQQQQQ", 6, 4, 64, 64, 64, 0, 0, 8)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 512, 512, 512, 0, 0, 8)
    page[64:176] = phdr + dynamic
    struct.pack_into("<QQ", page, 512, 5, 0)
    struct.pack_into("<QQ", page, 528, 21 if listed else 0, MEMORY + 1024)
    struct.pack_into("<QQ", page, 1024, 1, MEMORY + 1100)
    struct.pack_into("<QQQQ", page, 1100, 0, MEMORY + 2000, 0, MEMORY + 1200)
    struct.pack_into("<QQQQ", page, 1200, LIBRARY, MEMORY + 2010, 0, 0)
    page[2010:2025] = b"/usr/lib/x.so\0\0"
    vector = struct.pack("<QQQQQQ", 3, MEMORY + 64, 5, 2, 0, 0)
    notes = note(1, bytes(status)) + note(6, vector)
    start = 64 + 2 * 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segments = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(notes), 0, 4)
    segments += struct.pack("<IIQQQQQQ", 1, 6, start + len(notes), MEMORY, 0, 4096, 4096, 4096)
    return header + segments + notes + bytes(page)


def read(tmp_path: Path, data: bytes) -> Crash | None:
    path = tmp_path / "qemu.core"
    path.write_bytes(data)
    return read_core(path)


@pytest.mark.parametrize(
    ("data", "crash"),
    [
        (
            core(rip=LIBRARY + 0x2DBCC),
            Crash(signal=4, address=LIBRARY + 0x2DBCC, library="/usr/lib/x.so", base=LIBRARY),
        ),
        (core(rip=0x401000), Crash(signal=4, address=0x401000, library="", base=0)),
        (core(rip=LIBRARY, listed=False), Crash(signal=4, address=LIBRARY, library="", base=0)),
        (
            core(rip=LIBRARY + 1, signal=11),
            Crash(signal=11, address=LIBRARY + 1, library="/usr/lib/x.so", base=LIBRARY),
        ),
    ],
    ids=["library", "program", "before-the-list", "another-signal"],
)
def test_the_crash_is_placed(tmp_path: Path, data: bytes, crash: Crash) -> None:
    assert read(tmp_path, data) == crash


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 5000), place=st.integers(0, 4800), value=st.integers(0, 255))
def test_damaged_cores_never_raise(tmp_path: Path, cut: int, place: int, value: int) -> None:
    data = bytearray(core(rip=LIBRARY))
    data[place % len(data)] = value
    read(tmp_path, bytes(data[:cut]) if cut % 2 else bytes(data))


@pytest.mark.skipif(shutil.which("qemu-x86_64-static") is None, reason="needs qemu-user")
def test_qemu_itself_writes_such_a_core(tmp_path: Path) -> None:
    program = Path(__file__).parents[3] / "assets" / "isa" / "program.elf"
    with ElfFile(program) as elf:
        addresses = [section for section in elf.code if section.name == ".text"]
    script = f"ulimit -c unlimited; exec qemu-x86_64-static -cpu Nehalem {program}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == -4
    (path,) = tmp_path.glob("*.core")
    crash = read_core(path)
    assert crash is not None
    assert (crash.signal, crash.library) == (4, "")
    assert addresses[0].address <= crash.address < addresses[0].end
