"""The waivers file: closed rows with reason and evidence, every fault by line and field."""

from pathlib import Path

import pytest

from builder.adapters.audit import audit_waivers
from builder.domain.audit.report import Waiver
from builder.domain.audit.verdicts import AuditVerdict
from builder.errors import DataError

ROOT = Path(__file__).parents[4]
GOOD = """\
waivers:
  - build_id: 77fe0779716865f6888ad76e5c5107de38b668bd
    verdict: suspect
    function: _ZN6fbgemm10FindMinMaxEPKfPfS2_i
    reason: callers refuse without AVX2 before they get there
    evidence: quantized linear raised RuntimeError under a CPU without AVX
"""


def test_a_waiver_is_read(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(GOOD)
    assert audit_waivers.load(path) == (
        Waiver(
            build_id="77fe0779716865f6888ad76e5c5107de38b668bd",
            verdict=AuditVerdict.SUSPECT,
            function="_ZN6fbgemm10FindMinMaxEPKfPfS2_i",
            reason="callers refuse without AVX2 before they get there",
            evidence="quantized linear raised RuntimeError under a CPU without AVX",
        ),
    )


def test_the_waivers_of_the_images_are_sound() -> None:
    for path in (ROOT / "images").glob("*/waivers.yaml"):
        audit_waivers.load(path)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("suspect", "clean", "3: waivers[0].verdict must be one of pointer, unknown, suspect"),
        ("77fe", "XYZ", "2: waivers[0].build_id must be a GNU build-id"),
        (
            "    reason: callers refuse without AVX2 before they get there\n",
            "",
            "reason is missing",
        ),
        ("evidence", "evidense", "evidense is no field here; did you mean evidence?"),
        ("waivers:\n", "", "must be a mapping"),
    ],
    ids=["verdict", "build-id", "no-reason", "unknown-field", "no-mapping"],
)
def test_faults_are_told_by_line_and_field(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        audit_waivers.load(path)
    assert text in str(caught.value)
    assert str(caught.value).startswith(str(path))
