"""The fat binaries of an ELF file, listed from their clear headers; no device code is read.

A container begins with magic (u32), version and header size (u16 each) and the size of what
follows (u64). Each entry has a header of its own: kind (u16: 1 is PTX, 2 a cubin), header size
(u32 at 4), size (u64 at 8), for PTX its minor and major ISA version (u16 at 24 and 26), and the
architecture (u32 at 28). Compression touches the code only.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from builder.adapters.audit.elf import ElfFile, Section
from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import Code, CodeKind, Container, Listing

SECTIONS = (".nv_fatbin", "__nv_relfatbin", "nv_fatbin")

_MAGIC = 0xBA55ED50
_HEAD = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQIIHHI")
_BLOCK = 1 << 16
_KINDS = {1: CodeKind.PTX, 2: CodeKind.CUBIN}


class _BadHeaderError(Exception):
    """Where a container contradicts itself or its section."""


def list_device_code(elf: ElfFile) -> Listing:
    """List every fat binary of `elf`; a bad header ends its section's list and is told."""
    found: Counter[tuple[Code, ...]] = Counter()
    faults: list[str] = []
    for section in elf.sections:
        if section.name not in SECTIONS or not section.size:
            continue
        try:
            found.update(_containers(elf, section))
        except _BadHeaderError as error:
            faults.append(f"{section.name}: {error}")
    merged: dict[tuple[tuple[CodeKind, ComputeCapability, tuple[int, int]], ...], Container] = {}
    for codes, count in found.items():
        shape = tuple((code.kind, code.arch, code.ptx_isa) for code in codes)
        seen = merged.get(shape, Container(codes=(), count=0))
        merged[shape] = _sum(seen, codes, count)
    containers = sorted(merged.values(), key=lambda c: (-c.count, [x.arch for x in c.codes]))
    return Listing(containers=tuple(containers), faults=tuple(faults))


def _sum(seen: Container, codes: tuple[Code, ...], count: int) -> Container:
    """Add `count` containers of these codes to those of the same architectures."""
    before = [code.size for code in seen.codes] or [0] * len(codes)
    summed = (
        replace(code, size=size + code.size * count)
        for code, size in zip(codes, before, strict=True)
    )
    return Container(codes=tuple(summed), count=seen.count + count)


def _containers(elf: ElfFile, section: Section) -> Iterator[tuple[Code, ...]]:
    at, end = section.offset, section.offset + section.size
    while (at := _skip_padding(elf, at, end)) + _HEAD.size <= end:
        magic, _, head, size = _HEAD.unpack(elf.read(at, _HEAD.size))
        where = f"byte {at - section.offset}"
        if magic != _MAGIC:
            message = f"no fat binary at {where} (found {magic:#010x})"
            raise _BadHeaderError(message)
        if head < _HEAD.size or at + head + size > end:
            message = f"the fat binary at {where} claims {head} + {size} bytes, more than is there"
            raise _BadHeaderError(message)
        yield tuple(sorted(_entries(elf, at + head, at + head + size), key=_order))
        at += head + size


def _order(code: Code) -> tuple[ComputeCapability, str]:
    return code.arch, code.kind.value


def _skip_padding(elf: ElfFile, at: int, end: int) -> int:
    while at < end:
        block = elf.read(at, min(_BLOCK, end - at))
        rest = block.lstrip(b"\0")
        if rest:
            return at + len(block) - len(rest)
        at += len(block)
    return end


def _entries(elf: ElfFile, at: int, end: int) -> Iterator[Code]:
    while at + _ENTRY.size <= end:
        fields = _ENTRY.unpack(elf.read(at, _ENTRY.size))
        kind, head, size, minor, major, arch = (fields[k] for k in (0, 2, 3, 6, 7, 8))
        if head < _ENTRY.size or at + head + size > end:
            message = f"an entry claims {head} + {size} bytes, more than its fat binary has"
            raise _BadHeaderError(message)
        if kind in _KINDS:
            yield Code(
                kind=_KINDS[kind],
                arch=ComputeCapability(arch // 10, arch % 10),
                ptx_isa=(major, minor) if kind == 1 else (0, 0),
                size=size,
            )
        at += head + size
