"""The verdict of a file and of an image, and what waivers take away."""

from dataclasses import replace

import pytest

from builder.domain.audit.judge import CountRow, LevelJudgement
from builder.domain.audit.program import Label
from builder.domain.audit.report import FileAudit, ImageAudit, Waived, Waiver, waive
from builder.domain.audit.verdicts import AuditVerdict, Finding, Signal
from builder.domain.isa import IsaLevel

V = AuditVerdict
LEVEL = IsaLevel.V2


def finding(symbol: str, verdict: AuditVerdict, signal: Signal) -> Finding:
    label = Label(symbol=symbol, unit="", address={"two": 80}.get(symbol, 64))
    return Finding(
        verdict=verdict, signal=signal, function=label, needs=("avx",), instruction="", address=64
    )


def judgement(level: IsaLevel = LEVEL) -> LevelJudgement:
    return LevelJudgement(
        level=level,
        verdict=V.SUSPECT,
        counts=(
            CountRow(verdict=V.SUSPECT, signal=Signal.DIRECT, functions=2, size=32),
            CountRow(verdict=V.UNKNOWN, signal=Signal.NO_FUNCTION, functions=1, size=16),
            CountRow(verdict=V.GUARDED, signal=Signal.GUARD_CPUID, functions=5, size=80),
        ),
        findings=(
            finding("one", V.SUSPECT, Signal.DIRECT),
            finding("two", V.SUSPECT, Signal.DIRECT),
            finding("", V.UNKNOWN, Signal.NO_FUNCTION),
        ),
    )


FILE = FileAudit(name="a.so", identity="x", build_id="ab" * 10, levels=(judgement(),))
WAIVER = Waiver(
    build_id="ab" * 10, verdict=V.SUSPECT, function="one", reason="reviewed", evidence="run"
)


@pytest.mark.parametrize(
    ("file", "verdict"),
    [
        (FILE, V.SUSPECT),
        (replace(FILE, levels=()), V.CLEAN),
        (replace(FILE, owner="package nvidia-x"), V.LICENCE),
        (replace(FILE, fault="cut short"), V.UNKNOWN),
    ],
    ids=["judged", "no-code", "licence", "unreadable"],
)
def test_verdict_of_a_file(file: FileAudit, verdict: AuditVerdict) -> None:
    assert file.verdict(LEVEL) is verdict


def test_the_lowest_level_is_the_first_that_does_not_fail() -> None:
    failing = replace(judgement(IsaLevel.V1), verdict=V.INIT_FAIL)
    file = replace(FILE, levels=(failing, judgement()))
    audit = ImageAudit(target="t", digest="", level=LEVEL, files=(file,))
    assert (file.lowest, audit.lowest) == (IsaLevel.V2, IsaLevel.V2)


def test_no_level_may_be_the_lowest() -> None:
    levels = tuple(replace(judgement(level), verdict=V.INIT_FAIL) for level in IsaLevel)
    file = replace(FILE, levels=levels)
    assert (file.lowest, ImageAudit(target="t", digest="", level=LEVEL, files=(file,)).lowest) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    ("audit", "verdict"),
    [
        (ImageAudit(target="t", digest="", level=LEVEL, files=()), V.CLEAN),
        (ImageAudit(target="t", digest="", level=LEVEL, files=(FILE,)), V.SUSPECT),
        (
            ImageAudit(target="t", digest="", level=LEVEL, files=(replace(FILE, skipped="arm"),)),
            V.CLEAN,
        ),
        (
            ImageAudit(target="t", digest="", level=LEVEL, files=(FILE,), forced=("X=1",)),
            V.ENV_FAIL,
        ),
    ],
    ids=["empty", "worst", "skipped", "environment"],
)
def test_verdict_of_an_image(audit: ImageAudit, verdict: AuditVerdict) -> None:
    assert audit.verdict is verdict


WAIVERS = {
    "one-function": ([WAIVER], V.SUSPECT, [2 - 1, 1, 5], 1),
    "both-functions": ([WAIVER, replace(WAIVER, function="two")], V.UNKNOWN, [1, 5], 2),
    "all-of-a-verdict": ([replace(WAIVER, function="")], V.UNKNOWN, [1, 5], 1),
    "everything": (
        [replace(WAIVER, function=""), replace(WAIVER, verdict=V.UNKNOWN, function="0x40")],
        V.GUARDED,
        [5],
        2,
    ),
    "by-address": ([replace(WAIVER, function="0x50")], V.SUSPECT, [1, 1, 5], 1),
    "another-function": ([replace(WAIVER, function="three")], V.SUSPECT, [2, 1, 5], 0),
    "another-file": ([replace(WAIVER, build_id="cd" * 10)], V.SUSPECT, [2, 1, 5], 0),
    "another-verdict": ([replace(WAIVER, verdict=V.POINTER)], V.SUSPECT, [2, 1, 5], 0),
}


@pytest.mark.parametrize(
    ("waivers", "verdict", "counts", "used"), WAIVERS.values(), ids=WAIVERS.keys()
)
def test_waivers(
    waivers: list[Waiver], verdict: AuditVerdict, counts: list[int], used: int
) -> None:
    (file,), spent, unused = waive([FILE], waivers, LEVEL)
    judged = file.at(LEVEL)
    assert judged is not None
    assert file.verdict(LEVEL) is verdict
    assert [row.functions for row in judged.counts] == counts
    assert (len(spent), len(unused)) == (used, len(waivers) - used)


def test_a_used_waiver_is_told_with_its_file() -> None:
    _, spent, _ = waive([FILE], [WAIVER], LEVEL)
    assert spent == (Waived(file="a.so", waiver=WAIVER, functions=1),)


def test_a_file_without_build_id_is_never_waived() -> None:
    (file,), spent, _ = waive([replace(FILE, build_id="")], [replace(WAIVER, build_id="")], LEVEL)
    assert (file.verdict(LEVEL), spent) == (V.SUSPECT, ())


def test_waivers_hold_at_every_level_but_count_at_the_asked_one() -> None:
    file = replace(FILE, levels=(judgement(IsaLevel.V1), judgement()))
    (lighter,), spent, _ = waive([file], [WAIVER], LEVEL)
    assert [len(judged.findings) for judged in lighter.levels] == [2, 2]
    assert spent[0].functions == 1


def test_verdicts_are_ordered_and_explained() -> None:
    assert sorted(V, reverse=True)[:3] == [V.ENV_FAIL, V.INIT_FAIL, V.SUSPECT]
    assert [v for v in V if v.fails] == [V.INIT_FAIL, V.ENV_FAIL]
    assert all(v.meaning for v in V)
    assert all(signal.meaning for signal in Signal)
    with pytest.raises(TypeError):
        _ = V.CLEAN < "suspect"
