"""Who in a file knows what CPU it runs on, and so may choose code for it."""

from collections.abc import Collection
from dataclasses import dataclass

from builder.domain.audit import features
from builder.domain.audit.program import FunctionReader, Program
from builder.domain.audit.verdicts import Signal

# Interfaces by which a file learns CPU features from another: libgcc, compiler-rt, glibc, cpuinfo.
QUERY_SYMBOLS = frozenset({
    "__cpu_model", "__cpu_features2", "__cpu_indicator_init", "__x86_get_cpuid_feature_leaf",
    "__x86_get_cpu_features", "_dl_x86_get_cpu_features", "_rtld_global_ro", "getauxval",
    "cpuinfo_initialize", "cpuinfo_isa", "__get_cpu_features",
    "__intel_cpu_feature_indicator", "__intel_cpu_features_init",
})  # fmt: skip
_MANY_USERS = 4000  # data that so many functions use is a lock or a counter, no CPU flag


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Functions by how they learn about the CPU."""

    asking: frozenset[int]  # hold CPUID or XGETBV
    reading: frozenset[int]  # use data that an asking function writes, or ask another file
    calling: frozenset[int]  # call one of those

    @classmethod
    def find(cls, program: Program, reader: FunctionReader) -> "Guards":
        """Follow CPUID from the functions that hold it, over what they write, to their callers."""
        asking = {
            place for place, bits in enumerate(program.bits)
            if bits & features.ASKS_CPU and program.known[place]
        }  # fmt: skip
        reading = set(program.querying)
        for address in _told(asking, reader):
            users = reader.users(address)
            if len(users) < _MANY_USERS:
                reading.update(users)
        calling = {caller for index in asking | reading for caller in reader.callers(index)}
        return cls(
            asking=frozenset(asking),
            reading=frozenset(reading - asking),
            calling=frozenset(calling - reading - asking),
        )

    def signal(self, caller: int) -> Signal | None:
        """Say how a function asks the CPU before it calls another, None where it does not."""
        if caller in self.asking:
            return Signal.GUARD_CPUID
        if caller in self.reading:
            return Signal.GUARD_VARIABLE
        return Signal.GUARD_CALL if caller in self.calling else None


def _told(asking: Collection[int], reader: FunctionReader) -> set[int]:
    """Return the data in which the CPU's answer stands: stored by who asked, or handed to it.

    A buffer that is handed over is taken for the four words that CPUID gives.
    """
    found = {address for index in asking for address in reader.writes(index)}
    for caller in {caller for index in asking for caller in reader.callers(index)}:
        for callee, addresses in reader.hands(caller).items():
            if callee in asking:
                found.update(a + word for a in addresses for word in range(0, 16, 4))
    return found
