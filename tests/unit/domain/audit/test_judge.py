"""The verdict of each function, by the way that leads into it."""

import pytest

from builder.domain.audit import features
from builder.domain.audit.judge import MOST_SHOWN, judge
from builder.domain.audit.program import Start
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.isa import IsaLevel
from tests.audit_programs import AES, ASKS, AVX2, SSE3, FakeFunction, FakeReader, fillers, program

F = FakeFunction
ENTRY = F("entry", exported=True, calls=("kernel",))
KERNEL = F("kernel", AVX2)
ASKER = F("asker", ASKS, stores=(0x900,), exported=True)
ISLANDS = [F(f"island{n}", AVX2, table=True) for n in range(8)]


def outcome(
    functions: list[FakeFunction], level: IsaLevel = IsaLevel.V2, *, stripped: bool = False
) -> list[tuple[str, str, int]]:
    """Return verdict, signal and count of each group."""
    judged = judge(program(functions, stripped=stripped), FakeReader(functions), level)
    return [(row.verdict.value, row.signal.value, row.functions) for row in judged.counts]


CASES = {
    "nothing-above": ([F("plain", SSE3)], []),
    "direct": ([ENTRY, KERNEL], [("suspect", "direct", 1)]),
    "exported": ([F("kernel", AVX2, exported=True)], [("suspect", "exported", 1)]),
    "caller-asks": (
        [F("entry", ASKS, exported=True, calls=("kernel",)), KERNEL],
        [("guarded", "guard-cpuid", 1)],
    ),
    "caller-reads-guard-variable": (
        [ASKER, F("entry", exported=True, uses=(0x900,), calls=("kernel",)), KERNEL],
        [("guarded", "guard-variable", 1)],
    ),
    "caller-reads-other-variable": (
        [ASKER, F("entry", exported=True, uses=(0x908,), calls=("kernel",)), KERNEL],
        [("suspect", "direct", 1)],
    ),
    "caller-reads-what-an-asker-was-handed": (
        [
            F("asker", ASKS),
            F("begin", start=Start.LOAD, calls=("asker", "other"), hands={"asker": (0x900,)}),
            F("entry", exported=True, uses=(0x908,), calls=("kernel",)),
            KERNEL,
            F("other"),
        ],
        [("guarded", "guard-variable", 1)],
    ),
    "caller-reads-what-another-was-handed": (
        [
            F("asker", ASKS),
            F("begin", start=Start.LOAD, calls=("asker", "other"), hands={"other": (0x900,)}),
            F("entry", exported=True, uses=(0x908,), calls=("kernel",)),
            KERNEL,
            F("other"),
        ],
        [("suspect", "direct", 1)],
    ),
    "caller-calls-asker": (
        [ASKER, F("entry", exported=True, calls=("asker", "kernel")), KERNEL],
        [("guarded", "guard-call", 1)],
    ),
    "caller-asks-another-file": (
        [F("entry", exported=True, queries=True, calls=("kernel",)), KERNEL],
        [("guarded", "guard-variable", 1)],
    ),
    "caller-calls-who-asks-another-file": (
        [F("has", queries=True), F("entry", exported=True, calls=("has", "kernel")), KERNEL],
        [("guarded", "guard-call", 1)],
    ),
    "caller-reached-through-guard-only": (
        [F("gate", ASKS, exported=True, calls=("entry",)), F("entry", calls=("kernel",)), KERNEL],
        [("guarded", "guard-callers", 1)],
    ),
    "two-callers-behind-one-guard": (
        [
            F("gate", ASKS, exported=True, calls=("entry", "other")),
            F("entry", calls=("kernel",)),
            F("other", calls=("entry", "second")),
            KERNEL,
            F("second", AVX2),
        ],
        [("guarded", "guard-callers", 2)],
    ),
    "kernels-that-call-and-take-each-other": (
        [
            F("kernel", AVX2, table=True, calls=("inner",), takes=("other",)),
            F("inner", AVX2, calls=("kernel", "other")),
            F("other", AVX2),
        ],
        [("pointer", "table", 3)],
    ),
    "caller-reached-otherwise-too": (
        [
            F("gate", ASKS, exported=True, calls=("entry",)),
            F("door", exported=True, calls=("entry",)),
            F("entry", calls=("kernel",)),
            KERNEL,
        ],
        [("suspect", "direct", 1)],
    ),
    "caller-in-a-loop-behind-a-guard": (
        [
            F("gate", ASKS, exported=True, calls=("one",)),
            F("one", calls=("two",)),
            F("two", calls=("one", "kernel")),
            KERNEL,
        ],
        [("guarded", "guard-callers", 1)],
    ),
    "caller-without-a-trace": ([F("entry", calls=("kernel",)), KERNEL], [("suspect", "direct", 1)]),
    "worst-way-decides": (
        [F("gate", ASKS, exported=True, calls=("kernel",)), ENTRY, KERNEL],
        [("suspect", "direct", 1)],
    ),
    "bytes-that-are-no-call": (
        [F("entry", exported=True, false_calls=("kernel",)), KERNEL],
        [("guarded", "inner", 1)],
    ),
    "table": ([F("kernel", AVX2, table=True)], [("pointer", "table", 1)]),
    "address-taken": ([F("entry", takes=("kernel",)), KERNEL], [("pointer", "taken", 1)]),
    "address-taken-by-asker": (
        [F("entry", ASKS, takes=("kernel",)), KERNEL],
        [("guarded", "guard-cpuid", 1)],
    ),
    "ifunc": (
        [F("choose", start=Start.RESOLVER, takes=("kernel",)), KERNEL],
        [("guarded", "guard-ifunc", 1)],
    ),
    "nothing-leads-there": ([KERNEL], [("pointer", "no-way-in", 1)]),
    "no-function": ([F("", AVX2, known=False)], [("unknown", "no-function", 1)]),
    "partly-no-code": (
        [F("kernel", AVX2 | features.NOT_CODE)],
        [("unknown", "not-code", 1)],
    ),
    "called-by-kernels-only": (
        [ASKER, F("entry", exported=True, calls=("asker", "kernel")), KERNEL, F("inner", AVX2)],
        [("pointer", "no-way-in", 1), ("guarded", "guard-call", 1)],
    ),
    "what-a-kernel-calls-shares-its-signal": (
        [F("kernel", AVX2, table=True, calls=("inner",)), F("inner", AVX2)],
        [("pointer", "table", 2)],
    ),
    "what-a-suspect-calls-is-none": (
        [ENTRY, F("kernel", AVX2, calls=("inner",)), F("inner", AVX2)],
        [("suspect", "direct", 1), ("guarded", "inner", 1)],
    ),
    "constructor": ([F("begin", AVX2, start=Start.LOAD)], [("init-fail", "starts", 1)]),
    "constructor-calls": (
        [F("begin", start=Start.LOAD, calls=("kernel",)), KERNEL],
        [("init-fail", "starts", 1)],
    ),
    "constructor-asks": (
        [F("begin", ASKS, start=Start.LOAD, calls=("kernel",)), KERNEL],
        [("guarded", "guard-cpuid", 1)],
    ),
    "constructor-calls-what-asks": (
        [
            F("begin", start=Start.LOAD, calls=("middle",)),
            F("middle", ASKS, calls=("kernel",)),
            KERNEL,
        ],
        [("guarded", "guard-cpuid", 1)],
    ),
    "constructor-chain-of-no-calls": (
        [
            F("begin", start=Start.LOAD, false_calls=("middle",)),
            F("middle", calls=("kernel",)),
            KERNEL,
        ],
        [("suspect", "direct", 1)],
    ),
    "constructor-false-way-and-true-way": (
        [
            F("begin", start=Start.LOAD, calls=("long",), false_calls=("short",)),
            F("short", calls=("kernel",)),
            F("long", calls=("longer",)),
            F("longer", calls=("kernel",)),
            KERNEL,
        ],
        [("init-fail", "starts", 1)],
    ),
    "module-initialisation": (
        [F("PyInit_x", AVX2, start=Start.MODULE)],
        [("suspect", "imported", 1)],
    ),
    "module-initialisation-calls": (
        [F("PyInit_x", start=Start.MODULE, calls=("kernel",)), KERNEL],
        [("suspect", "direct", 1)],
    ),
    "module-initialisation-that-asks": (
        [F("PyInit_x", AVX2 | ASKS, start=Start.MODULE, exported=True, symbol="PyInit_avx2")],
        [("pointer", "no-way-in", 1)],
    ),
    "main": (
        [F("_start", start=Start.ENTRY, takes=("main",)), F("main", AVX2)],
        [("init-fail", "starts", 1)],
    ),
    "isa-unit-by-neighbours": (
        [ASKER, *ISLANDS, F("entry", exported=True, calls=("kernel",)), KERNEL, *fillers(4)],
        [("pointer", "table", 8), ("guarded", "isa-unit", 1)],
    ),
    "neighbours-count-only-where-the-file-asks": (
        [*ISLANDS, F("entry", exported=True, calls=("kernel",)), KERNEL, *fillers(4)],
        [("suspect", "direct", 1), ("pointer", "table", 8)],
    ),
    "caller-in-a-named-unit": (
        [ASKER, F("entry", exported=True, calls=("kernel",), unit="x.AVX2.cpp"), KERNEL],
        [("guarded", "isa-unit", 1)],
    ),
    "caller-in-the-default-unit": (
        [ASKER, F("entry", exported=True, calls=("kernel",), unit="x.DEFAULT.cpp"), KERNEL],
        [("suspect", "direct", 1)],
    ),
    "name-and-code-agree": (
        [ASKER, F("entry", exported=True, calls=("sum_avx2",)), F("sum_avx2", AVX2)],
        [("guarded", "isa-name", 1)],
    ),
    "name-alone": (
        [F("entry", exported=True, calls=("sum_avx2",)), F("sum_avx2", AVX2)],
        [("suspect", "direct", 1)],
    ),
    "name-that-promises-less": (
        [ASKER, F("entry", exported=True, calls=("sum_sse42",)), F("sum_sse42", AVX2)],
        [("suspect", "direct", 1)],
    ),
    "variants": (
        [
            ASKER,
            F("entry", exported=True, calls=("sum_sse2", "sum_avx2")),
            F("sum_sse2"),
            F("sum_avx2", AVX2),
        ],
        [("guarded", "variants", 1)],
    ),
}


@pytest.mark.parametrize(("functions", "expected"), CASES.values(), ids=CASES.keys())
def test_each_way_in(functions: list[FakeFunction], expected: list[tuple[str, str, int]]) -> None:
    assert outcome(functions) == expected


def test_a_nameless_function_of_a_stripped_file_is_unknown() -> None:
    functions = [ENTRY, F("kernel", AVX2, symbol=""), F("lost", AVX2, symbol="")]
    assert outcome(functions, stripped=True) == [("unknown", "stripped", 2)]


@pytest.mark.parametrize(
    ("level", "verdict"),
    [
        (IsaLevel.V1, AuditVerdict.SUSPECT),
        (IsaLevel.V2, AuditVerdict.CLEAN),
        (IsaLevel.V4, AuditVerdict.CLEAN),
    ],
)
def test_levels_differ(level: IsaLevel, verdict: AuditVerdict) -> None:
    functions = [ENTRY, F("kernel", SSE3)]
    assert judge(program(functions), FakeReader(functions), level).verdict is verdict


def test_features_outside_all_levels_count_at_every_level() -> None:
    functions = [ENTRY, F("kernel", AES)]
    assert outcome(functions, IsaLevel.V4) == [("suspect", "direct", 1)]


def test_a_finding_tells_needs_site_way_and_callers() -> None:
    functions = [
        F("begin", start=Start.LOAD, calls=("middle",)),
        F("middle", calls=("kernel",)),
        F("kernel", AVX2 | SSE3),
    ]
    (finding,) = judge(program(functions), FakeReader(functions), IsaLevel.V2).findings
    assert finding.verdict is AuditVerdict.INIT_FAIL
    assert finding.needs == ("avx2",)
    assert (finding.address, finding.instruction) == (2 * 16 + 4, "wide")
    assert [label.symbol for label in finding.reached_from] == ["begin", "middle"]
    assert finding.callers == 1


def test_leaked_inline_functions_are_told() -> None:
    leaked = F("kernel", AVX2, weak=True)
    functions = [ASKER, *fillers(20), ENTRY, *fillers(20, "other"), *ISLANDS, leaked]
    judged = judge(program(functions), FakeReader(functions), IsaLevel.V2)
    assert [(f.function.symbol, f.leaked) for f in judged.findings] == [("kernel", True)]


def test_lzcnt_is_counted_as_silent() -> None:
    functions = [F("zeros", features.SILENT, exported=True)]
    assert judge(program(functions), FakeReader(functions), IsaLevel.V2).silent == 1
    assert judge(program(functions), FakeReader(functions), IsaLevel.V3).silent == 0


def test_only_the_worst_functions_are_described() -> None:
    many = [F(f"kernel{n}", AVX2, exported=True) for n in range(MOST_SHOWN + 50)]
    reader = FakeReader(many)
    judged = judge(program(many), reader, IsaLevel.V2)
    assert judged.counts[0].functions == MOST_SHOWN + 50
    assert len(judged.findings) == len(set(reader.decoded)) == MOST_SHOWN


def test_a_huge_stretch_is_not_decoded_for_show() -> None:
    functions = [F("kernel", AVX2, exported=True, size=1 << 21)]
    (finding,) = judge(program(functions), FakeReader(functions), IsaLevel.V2).findings
    assert (finding.address, finding.instruction) == (0, "")


def test_data_that_everybody_uses_is_no_guard() -> None:
    users = [F(f"user{n}", uses=(0x900,)) for n in range(4001)]
    entry = F("entry", exported=True, uses=(0x900,), calls=("kernel",))
    functions = [ASKER, entry, KERNEL, *users]
    assert outcome(functions) == [("suspect", "direct", 1)]


def test_far_callers_are_taken_for_open() -> None:
    chain = [F(f"step{n}", calls=(f"step{n + 1}",)) for n in range(3100)]
    chain[0] = F("step0", ASKS, calls=("step1",))
    functions = [*chain, F("step3100", calls=("kernel",)), KERNEL]
    assert outcome(functions) == [("suspect", "direct", 1)]
