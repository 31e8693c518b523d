"""The verdicts of an audit, and the signals by which one is reached."""

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering
from typing import Self

from builder.domain.audit.program import Label


@total_ordering
class AuditVerdict(Enum):
    """What the code of one file, or of an image, promises; later members are worse."""

    rank: int

    CLEAN = "clean"
    GUARDED = "guarded"
    POINTER = "pointer"
    LICENCE = "not audited: licence"
    UNKNOWN = "unknown"
    SUSPECT = "suspect"
    INIT_FAIL = "init-fail"
    ENV_FAIL = "env-fail"

    def __new__(cls, value: str) -> Self:
        """Give each member its place, from harmless to fatal as they stand here."""
        member = object.__new__(cls)
        member._value_ = value
        member.rank = len(cls.__members__)
        return member

    def __lt__(self, other: object) -> bool:
        """Order from harmless to fatal."""
        return self.rank < other.rank if isinstance(other, AuditVerdict) else NotImplemented

    @property
    def fails(self) -> bool:
        """Say whether an image with this verdict cannot run on a CPU of the level."""
        return self in (AuditVerdict.INIT_FAIL, AuditVerdict.ENV_FAIL)

    @property
    def meaning(self) -> str:
        """Return one sentence for people."""
        return _MEANINGS[self]


_MEANINGS = {
    AuditVerdict.CLEAN: "no instruction above the level",
    AuditVerdict.GUARDED: "every way into code above the level asks the CPU first",
    AuditVerdict.POINTER: "code above the level is reached through tables only: not decidable here",
    AuditVerdict.LICENCE: "its licence forbids disassembly",
    AuditVerdict.UNKNOWN: "stripped, unreadable or no function: nothing tells a guard from none",
    AuditVerdict.SUSPECT: "code above the level is called directly, and no guard was found",
    AuditVerdict.INIT_FAIL: "code above the level runs as soon as the file is loaded",
    AuditVerdict.ENV_FAIL: "the image's environment forces code above the level",
}


class Signal(Enum):
    """The evidence for one function's verdict."""

    verdict: AuditVerdict

    GUARD_CPUID = "guard-cpuid", AuditVerdict.GUARDED
    GUARD_VARIABLE = "guard-variable", AuditVerdict.GUARDED
    GUARD_CALL = "guard-call", AuditVerdict.GUARDED
    GUARD_IFUNC = "guard-ifunc", AuditVerdict.GUARDED
    GUARD_CALLERS = "guard-callers", AuditVerdict.GUARDED
    VARIANTS = "variants", AuditVerdict.GUARDED
    ISA_UNIT = "isa-unit", AuditVerdict.GUARDED
    ISA_NAME = "isa-name", AuditVerdict.GUARDED
    INNER = "inner", AuditVerdict.GUARDED
    TABLE = "table", AuditVerdict.POINTER
    TAKEN = "taken", AuditVerdict.POINTER
    NO_WAY_IN = "no-way-in", AuditVerdict.POINTER
    EXPORTED = "exported", AuditVerdict.SUSPECT
    IMPORTED = "imported", AuditVerdict.SUSPECT
    DIRECT = "direct", AuditVerdict.SUSPECT
    STRIPPED = "stripped", AuditVerdict.UNKNOWN
    NO_FUNCTION = "no-function", AuditVerdict.UNKNOWN
    NOT_CODE = "not-code", AuditVerdict.UNKNOWN
    STARTS = "starts", AuditVerdict.INIT_FAIL

    def __new__(cls, value: str, verdict: AuditVerdict) -> Self:
        """Join each signal with the verdict that it leads to."""
        member = object.__new__(cls)
        member._value_ = value
        member.verdict = verdict
        return member

    @property
    def meaning(self) -> str:
        """Return one clause for people."""
        return _CLAUSES[self]


_CLAUSES = {
    Signal.GUARD_CPUID: "the caller asks the CPU itself",
    Signal.GUARD_VARIABLE: "the caller reads what CPUID told",
    Signal.GUARD_CALL: "the caller calls a function that asks the CPU",
    Signal.GUARD_IFUNC: "an IFUNC resolver chooses it",
    Signal.GUARD_CALLERS: "its callers are reached through guards only",
    Signal.VARIANTS: "the caller chooses among variants of it",
    Signal.ISA_UNIT: "called from code compiled for the ISA",
    Signal.ISA_NAME: "its name and its code agree on the ISA, and the file asks the CPU",
    Signal.INNER: "called from functions above the level only",
    Signal.TABLE: "its address stands in a table",
    Signal.TAKEN: "its address is taken",
    Signal.EXPORTED: "other files can call it",
    Signal.IMPORTED: "runs when Python imports the module",
    Signal.NO_WAY_IN: "nothing in this file leads to it",
    Signal.DIRECT: "called directly, without a guard",
    Signal.STRIPPED: "called directly, in a stripped file",
    Signal.NO_FUNCTION: "in bytes that no symbol or frame description names",
    Signal.NOT_CODE: "in bytes that are partly no instructions",
    Signal.STARTS: "runs when the file is loaded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One function above the level: its verdict, the signal, and the way in that decides."""

    verdict: AuditVerdict
    signal: Signal
    function: Label
    needs: tuple[str, ...]  # features that the level does not promise
    instruction: str  # the first that needs one of them, empty where none was looked for
    address: int  # of that instruction, else of the function
    reached_from: tuple[Label, ...] = ()
    leaked: bool = False  # a weak copy from a unit compiled for the ISA (an inline function)
    callers: int = 0
