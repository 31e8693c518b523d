"""Suspects are armed, those that a workload enters are put back, and the rest stay unproven."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.adapters.audit.elf import ElfFile
from builder.adapters.proof.tripwires import Tripwires
from builder.domain.proof import Ending, FaultSite, Outcome, Suspect, Workload

ASSETS = Path(__file__).parents[3] / "assets" / "isa"
WORK = Workload(name="work", argv=("true",))
PASSED = Outcome(workload=WORK, ending=Ending.PASSED, seconds=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root file system with a library, once under a second name, and a libc."""
    folder = tmp_path / "usr" / "lib"
    folder.mkdir(parents=True)
    for name in ("a.so", "libc.so.6"):
        (folder / name).write_bytes((ASSETS / "leaked.elf").read_bytes())
    (folder / "link.so").symlink_to("a.so")
    return tmp_path


def starts(path: Path) -> list[int]:
    """Return three addresses inside the code of a file."""
    with ElfFile(path) as elf:
        text = next(section for section in elf.code if section.name == ".text")
        return [text.address, text.address + 16, text.address + 32]


def suspect(address: int, file: str = "usr/lib/a.so") -> Suspect:
    return Suspect(file=file, function=f"f{address:x}", address=address)


def stops(*addresses: int, library: str = "/usr/lib/a.so") -> Outcome:
    sites = tuple(FaultSite(library=library, address=address) for address in addresses)
    return Outcome(workload=WORK, ending=Ending.SIGILL, seconds=2, sites=sites)


def playing(*outcomes: Outcome) -> Callable[[], Outcome]:
    rest = list(outcomes)
    return lambda: rest.pop(0)


def code_at(path: Path, address: int) -> bytes:
    with ElfFile(path) as elf:
        return elf.bytes_at(address, 2)


def test_a_run_that_passes_entered_none(root: Path) -> None:
    library = root / "usr/lib/a.so"
    one, two, _ = starts(library)
    before = code_at(library, one)
    wires = Tripwires(root, [suspect(one), suspect(two)])
    assert code_at(library, one) == code_at(library, two) == b"\x0f\x0b" != before
    assert wires.run(WORK, playing(PASSED)) == PASSED
    assert wires.suspects == (suspect(one), suspect(two))


@pytest.mark.parametrize("library", ["/usr/lib/a.so", "/usr/lib/link.so"])
def test_who_is_entered_is_put_back_and_the_run_begins_anew(root: Path, library: str) -> None:
    path = root / "usr/lib/a.so"
    whole = path.read_bytes()
    one, two, three = starts(path)
    wires = Tripwires(root, [suspect(one), suspect(two), suspect(three)])
    runs = playing(stops(two, library=library), stops(one, library=library), PASSED)
    outcome = wires.run(WORK, runs)
    assert (outcome.ending, outcome.seconds) == (Ending.PASSED, 5)
    assert [one.entered_by for one in wires.suspects] == ["work", "work", ""]
    assert code_at(path, three) == b"\x0f\x0b"
    wires.run(WORK, playing(stops(three), PASSED))
    assert path.read_bytes() == whole


def test_a_crash_elsewhere_is_a_crash(root: Path) -> None:
    one, two, _ = starts(root / "usr/lib/a.so")
    wires = Tripwires(root, [suspect(one)])
    for outcome in (stops(two), stops(one, library=""), stops(one, library="/usr/lib/libc.so.6")):
        assert wires.run(WORK, playing(outcome)) == outcome


def test_a_suspect_that_crashes_for_itself_is_a_crash(root: Path) -> None:
    one, _, _ = starts(root / "usr/lib/a.so")
    wires = Tripwires(root, [suspect(one)])
    outcome = wires.run(WORK, playing(stops(one), stops(one)))
    assert outcome.ending is Ending.SIGILL
    assert wires.suspects[0].entered_by == "work"


def test_what_the_native_shell_loads_is_left_alone(root: Path) -> None:
    libc = root / "usr/lib/libc.so.6"
    before = libc.read_bytes()
    one, _, _ = starts(libc)
    wires = Tripwires(root, [suspect(one, "usr/lib/libc.so.6"), suspect(1)])
    assert libc.read_bytes() == before
    assert wires.run(WORK, playing(PASSED)) == PASSED
    assert [one.entered_by for one in wires.suspects] == ["", ""]
