"""Which suspects a workload enters: their first bytes become UD2 until something stops there.

A run that passes over armed suspects executed none of them, and ran the image's own code only. One
that stops at one has entered it: its bytes are put back, and the run begins anew. So a run that
passes in the end was always a run of the image as it is, as far as it went.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.adapters.audit.elf import ElfFile
from builder.adapters.proof import rootfs
from builder.domain.proof import Ending, FaultSite, Outcome, Suspect, Workload

_UD2 = b"\x0f\x0b"
# The shell that starts every workload runs natively and loads these: armed, they would stop it.
_NATIVE = ("libc.so.6", "ld-linux-x86-64.so.2")


@dataclass(slots=True)
class _Wire:
    suspect: Suspect
    path: Path
    offset: int
    bytes: bytes


class Tripwires:
    """The armed suspects of one unpacked image; those that were entered are armed no more."""

    def __init__(self, root: Path, suspects: Sequence[Suspect]) -> None:
        self._armed: dict[tuple[Path, int], _Wire] = {}
        self._root = root
        self._suspects = list(suspects)
        for suspect in suspects:
            if suspect.file.endswith(_NATIVE):
                continue
            path = rootfs.inside(root, suspect.file)
            offset, first = _locate(path, suspect.address)
            if len(first) == len(_UD2):
                wire = _Wire(suspect=suspect, path=path, offset=offset, bytes=first)
                self._armed[path, suspect.address] = wire
                _patch(path, offset, _UD2)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Return all suspects, with the workload that entered each first."""
        return tuple(self._suspects)

    def run(self, workload: Workload, once: Callable[[], Outcome]) -> Outcome:
        """Run a workload until it stops at no armed suspect any more, and return how it ended."""
        seconds = 0.0
        while True:
            outcome = once()
            seconds += outcome.seconds
            entered = [wire for site in outcome.sites for wire in self._at(site)]
            if outcome.ending is not Ending.SIGILL or not entered:
                return replace(outcome, seconds=seconds)
            for wire in entered:
                self._disarm(wire, workload.name)

    def _at(self, site: FaultSite) -> list[_Wire]:
        path = rootfs.inside(self._root, site.library) if site.library else self._root
        wire = self._armed.get((path, site.address))
        return [wire] if wire else []

    def _disarm(self, wire: _Wire, workload: str) -> None:
        if self._armed.pop((wire.path, wire.suspect.address), None):
            _patch(wire.path, wire.offset, wire.bytes)
            place = self._suspects.index(wire.suspect)
            self._suspects[place] = replace(wire.suspect, entered_by=workload)


def _locate(path: Path, address: int) -> tuple[int, bytes]:
    """Return where in a file the code at an address lies, and its first bytes."""
    with ElfFile(path) as elf:
        for section in elf.code:
            if section.address <= address < section.end:
                offset = section.offset + address - section.address
                return offset, elf.bytes_at(address, len(_UD2))
    return 0, b""


def _patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
