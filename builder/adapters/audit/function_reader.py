"""Single functions of an ELF file, decoded instruction by instruction when a judgement asks."""

from collections.abc import Mapping
from functools import cached_property, lru_cache

from iced_x86 import (
    Code,
    Decoder,
    FlowControl,
    Formatter,
    FormatterSyntax,
    Instruction,
    OpKind,
)  # fmt: skip

from builder.adapters.audit import elf_tables
from builder.adapters.audit.code_map import CodeMap
from builder.adapters.audit.disassembler import Survey
from builder.adapters.audit.elf import ElfFile
from builder.adapters.audit.instruction_set import BITS_BY_CODE
from builder.adapters.audit.references import References, connect
from builder.adapters.audit.stores import StoreReader, Stores
from builder.domain.audit.program import Body, Label, Site

_BRANCHES = (
    FlowControl.CALL, FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH,
)  # fmt: skip
_ADDRESS_LOADS = (Code.MOV_R32_IMM32, Code.MOV_RM64_IMM32)
_INDIRECT = (FlowControl.INDIRECT_CALL, FlowControl.INDIRECT_BRANCH)
_WEAK = 2


class ElfFunctions:
    """The FunctionReader of one ELF file."""

    def __init__(self, elf: ElfFile, code: CodeMap, found: Survey) -> None:
        self._elf = elf
        self._code = code
        self._slots = _slot_table(code)
        self._fixed = elf.head.kind == "ET_EXEC"  # addresses are known when it is linked
        self._units = elf_tables.units(code.symbols)
        self._closed = code.closed.holds(code.functions.starts)
        self._found = found
        self._formatter = Formatter(FormatterSyntax.GAS)
        self._formatter.rip_relative_addresses = True
        self._stores = StoreReader(elf, {slot: target for slot, (target, _) in self._slots.items()})
        self.body = lru_cache(maxsize=65536)(self._body)
        self.label = lru_cache(maxsize=65536)(self._label)

    @cached_property
    def _references(self) -> References:
        return connect(self._code, self._found)

    def callees(self, index: int) -> list[int]:
        """Return the functions that one may call or jump to."""
        return self._references.callees.of(index)

    def callers(self, index: int) -> list[int]:
        """Return the functions that may call or jump to one."""
        return self._references.callers.of(index)

    def takers(self, index: int) -> list[int]:
        """Return the functions that may take the address of one."""
        return self._references.takers.of(index)

    def takes(self, index: int) -> list[int]:
        """Return the functions whose address one may take."""
        return self._references.takes.of(index)

    def users(self, address: int) -> list[int]:
        """Return the functions that may have the data at `address` as an operand."""
        return self._references.users(address)

    def writes(self, index: int) -> frozenset[int]:
        """Return the addresses of writable data that one function stores to."""
        return self._stored(index).written

    def hands(self, index: int) -> Mapping[int, frozenset[int]]:
        """Return, by callee, the addresses of writable data that one function hands to it."""
        found: dict[int, frozenset[int]] = {}
        for target, address in self._stored(index).handed:
            calls: set[int] = set()
            self._branch(target, calls, set())
            for callee in calls:
                found[callee] = found.get(callee, frozenset()) | {address}
        return found

    def _stored(self, index: int) -> Stores:
        return self._stores.read(*self._span(index))

    def _span(self, index: int) -> tuple[int, int]:
        """Return where a function begins and ends; one that may not be decoded is empty."""
        functions = self._code.functions
        start = int(functions.starts[index])
        return start, start if self._closed[index] else int(functions.ends[index])

    def _label(self, index: int) -> Label:
        row, table = int(self._code.functions.rows[index]), self._code.symbols
        address = int(self._code.functions.starts[index])
        if row < 0:
            return Label(symbol="", unit="", address=address)
        symbol = table.rows[row]
        unit = int(self._units[row])
        return Label(
            symbol=self._elf.text_at(table.names_at + int(symbol["name"])),
            unit=self._elf.text_at(table.names_at + int(table.rows["name"][unit]))
            if unit >= 0
            else "",
            address=address,
            weak=int(symbol["info"]) >> 4 == _WEAK,
        )

    def _body(self, index: int) -> Body:
        start, end = self._span(index)
        decoder = Decoder(64, self._elf.bytes_at(start, end - start), ip=start)
        calls: set[int] = set()
        takes: set[int] = set()
        imports: set[str] = set()
        sites: list[Site] = []
        for instruction in decoder:
            bits = BITS_BY_CODE.get(instruction.code, 0)
            if bits:
                sites.append(self._site(instruction, bits))
            flow = instruction.flow_control
            if flow in _BRANCHES and instruction.op0_kind == OpKind.NEAR_BRANCH64:
                target = instruction.near_branch_target
                if not start <= target < end:
                    self._branch(target, calls, imports)
            elif instruction.is_ip_rel_memory_operand:
                target = instruction.ip_rel_memory_address
                if flow in _INDIRECT:
                    self._through(target, calls, imports)
                else:
                    self._take(self._slots.get(target, (target, 0))[0], takes)
            elif instruction.code in _ADDRESS_LOADS and self._fixed:
                self._take(instruction.immediate(1), takes)
        return Body(
            calls=frozenset(calls),
            takes=frozenset(takes),
            imports=frozenset(imports),
            sites=tuple(sites),
        )

    def _site(self, instruction: Instruction, bits: int) -> Site:
        text = " ".join(self._formatter.format(instruction).split())
        return Site(address=int(instruction.ip), text=text, bits=bits)

    def _region(self, address: int) -> int:
        return self._code.function_at(address)

    def _branch(self, target: int, calls: set[int], imports: set[str]) -> None:
        slot = self._code.stubs.get(target)
        if slot is not None:
            self._through(slot, calls, imports)
            return
        at = self._code.around(target)
        if at >= 0:
            calls.add(at)  # a jump into the midst of a function (its .cold part) counts too

    def _through(self, slot: int, calls: set[int], imports: set[str]) -> None:
        target, symbol = self._slots.get(slot, (0, 0))
        if target:
            index = self._region(target)
            if index >= 0:
                calls.add(index)
        elif symbol:
            table = self._code.dynamic
            imports.add(self._elf.text_at(table.names_at + int(table.rows["name"][symbol])))

    def _take(self, target: int, takes: set[int]) -> None:
        """Note the address of a function, taken by LEA or loaded from the GOT."""
        index = self._region(target)
        if index >= 0:
            takes.add(index)


def _slot_table(code: CodeMap) -> dict[int, tuple[int, int]]:
    table = code.relocations
    rows = zip(table.slots.tolist(), table.targets.tolist(), table.symbols.tolist(), strict=True)
    return {slot: (target, symbol) for slot, target, symbol in rows}
