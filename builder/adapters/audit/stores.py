"""Where a function stores to: by its own address, or through a pointer that it just made."""

from collections.abc import Mapping
from dataclasses import dataclass

from iced_x86 import (
    Code,
    Decoder,
    FlowControl,
    Instruction,
    InstructionInfoFactory,
    OpAccess,
    OpKind,
    Register,
    RegisterExt,
)

from builder.adapters.audit.elf import ElfFile

_WRITES = (OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
_COPIES = (Code.MOV_R64_RM64, Code.MOV_RM64_R64)
_CALLS = (FlowControl.CALL, FlowControl.INDIRECT_CALL)


# Where the first four arguments of a call stand, by the System V calling convention.
_ARGUMENTS = (Register.RDI, Register.RSI, Register.RDX, Register.RCX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Addresses of writable data that a function stores to, and that it hands to others."""

    written: frozenset[int]
    handed: tuple[tuple[int, int], ...]  # (target of a direct call, address)


class StoreReader:
    """Follows pointers to data through one function, in the order of its instructions."""

    def __init__(self, elf: ElfFile, slots: Mapping[int, int]) -> None:
        self._elf = elf
        self._slots = slots  # GOT slot -> what it points to
        self._factory = InstructionInfoFactory()

    def read(self, start: int, end: int) -> Stores:
        """Return what the code from `start` to `end` stores to, and hands to what it calls."""
        written: set[int] = set()
        handed: dict[tuple[int, int], None] = {}
        pointers: dict[int, int] = {}
        for instruction in Decoder(64, self._elf.bytes_at(start, end - start), ip=start):
            self._store(instruction, pointers, written)
            if instruction.flow_control == FlowControl.CALL:
                target = instruction.near_branch_target
                given = (pointers[r] for r in _ARGUMENTS if r in pointers)
                handed |= dict.fromkeys((target, at) for at in given if self._is_memory(at))
            self._point(instruction, pointers)
        return Stores(
            written=frozenset(address for address in written if self._is_memory(address)),
            handed=tuple(handed),
        )

    def _store(self, instruction: Instruction, pointers: dict[int, int], written: set[int]) -> None:
        for used in self._factory.info(instruction).used_memory():
            if used.access not in _WRITES:
                continue
            if instruction.is_ip_rel_memory_operand:
                written.add(instruction.ip_rel_memory_address)
            elif used.base in pointers:
                base = pointers[used.base]
                shift = used.displacement
                # Whoever reads through the same pointer is found by the pointer itself.
                written.update((base, base + (shift - (1 << 64) if shift >> 63 else shift)))

    def _point(self, instruction: Instruction, pointers: dict[int, int]) -> None:
        """Note a register that now points to data, and forget those that no longer do."""
        if instruction.flow_control in _CALLS:
            pointers.clear()
            return
        copied = None
        if instruction.code in _COPIES and instruction.op1_kind == OpKind.REGISTER:
            copied = pointers.get(instruction.op1_register)
        for used in self._factory.info(instruction).used_registers():
            if used.access in _WRITES:
                pointers.pop(RegisterExt.full_register(used.register), None)
        if instruction.op0_kind != OpKind.REGISTER:
            return
        if copied is not None:
            pointers[instruction.op0_register] = copied
        if not instruction.is_ip_rel_memory_operand:
            return
        target = instruction.ip_rel_memory_address
        if instruction.code == Code.LEA_R64_M:
            pointers[instruction.op0_register] = target
        elif instruction.code == Code.MOV_R64_RM64 and target in self._slots:
            pointers[instruction.op0_register] = self._slots[target]

    def _is_memory(self, address: int) -> bool:
        return any(s.address <= address < s.end for s in self._elf.memory)
