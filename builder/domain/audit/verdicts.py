"""The verdicts of an audit, and the signals by which one is reached."""

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

from builder.domain.audit.program import Label, Site


@total_ordering
class AuditVerdict(Enum):
    """What the code of one file, or of an image, promises; later members are worse."""

    CLEAN = "clean"
    GUARDED = "guarded"
    POINTER = "pointer"
    LICENCE = "not audited: licence"
    UNKNOWN = "unknown"
    SUSPECT = "suspect"
    INIT_FAIL = "init-fail"
    ENV_FAIL = "env-fail"

    def __lt__(self, other: object) -> bool:
        """Order from harmless to fatal."""
        if not isinstance(other, AuditVerdict):
            return NotImplemented
        return _ORDER.index(self) < _ORDER.index(other)

    @property
    def fails(self) -> bool:
        """Say whether an image with this verdict cannot run on a CPU of the level."""
        return self in (AuditVerdict.INIT_FAIL, AuditVerdict.ENV_FAIL)

    @property
    def meaning(self) -> str:
        """Return one sentence for people."""
        return _MEANINGS[self]


_ORDER = list(AuditVerdict)
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

    GUARD_CPUID = "the caller asks the CPU itself"
    GUARD_VARIABLE = "the caller reads what CPUID told"
    GUARD_CALL = "the caller calls a function that asks the CPU"
    GUARD_IFUNC = "an IFUNC resolver chooses it"
    GUARD_CALLERS = "its callers are reached through guards only"
    VARIANTS = "the caller chooses among variants of it"
    ISA_UNIT = "called from code compiled for the ISA"
    ISA_NAME = "its name and its code agree on the ISA, and the file asks the CPU"
    INNER = "called from functions above the level only"
    TABLE = "its address stands in a table"
    TAKEN = "its address is taken"
    EXPORTED = "other files can call it"
    NO_WAY_IN = "nothing in this file leads to it"
    DIRECT = "called directly without a guard"
    STRIPPED = "called directly in a stripped file"
    NO_FUNCTION = "bytes that no symbol or frame description names"
    NOT_CODE = "holds bytes that are no instruction"
    STARTS = "runs when the file is loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One function above the level: its verdict, the signal, and the way in that decides."""

    index: int
    verdict: AuditVerdict
    signal: Signal
    label: Label
    needs: tuple[str, ...]
    site: Site | None = None
    way: tuple[Label, ...] = ()  # from the function that starts, or the caller, to this one
    leaked: bool = False  # a weak copy from a unit compiled for the ISA (an inline function)
    callers: int = 0
