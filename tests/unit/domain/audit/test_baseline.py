"""An audit against an earlier one: what counts as worse."""

from collections.abc import Mapping

import pytest

from builder.domain.audit.baseline import Baseline, Standing, baseline, worse
from builder.domain.audit.report import FileAudit, ImageAudit
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.isa import IsaLevel

V = AuditVerdict


def standing(verdict: AuditVerdict, **functions: int) -> Standing:
    return Standing(verdict=verdict, functions={V(name): n for name, n in functions.items()})


def of(files: Mapping[str, Standing]) -> Baseline:
    return Baseline(level=IsaLevel.V2, files=files)


CASES = {
    "same": (standing(V.SUSPECT, suspect=2), ()),
    "fewer": (standing(V.SUSPECT, suspect=1), ()),
    "more": (standing(V.SUSPECT, suspect=3), ("a.so has 3 suspect functions, and had 2",)),
    "milder": (standing(V.UNKNOWN, unknown=1), ("a.so has 1 unknown functions, and had 0",)),
    "worse": (standing(V.INIT_FAIL), ("a.so was suspect and is init-fail",)),
}


@pytest.mark.parametrize(("now", "expected"), CASES.values(), ids=CASES.keys())
def test_worse(now: Standing, expected: tuple[str, ...]) -> None:
    assert worse(of({"a.so": standing(V.SUSPECT, suspect=2)}), of({"a.so": now})) == expected


def test_a_new_file_with_something_open_is_worse() -> None:
    now = of({"b.so": standing(V.UNKNOWN, unknown=1)})
    assert worse(of({}), now) == ("b.so is new, and unknown",)


def test_only_what_is_open_stands_in_a_baseline() -> None:
    files = (
        FileAudit(name="clean.so", identity=""),
        FileAudit(name="lib-0123abcd.so.1", identity="", fault="cut short"),
        FileAudit(name="arm.so", identity="", skipped="arm", fault="x"),
    )
    found = baseline(ImageAudit(target="t", digest="", level=IsaLevel.V2, files=files))
    assert found == of({"lib.so.1": standing(V.UNKNOWN)})
