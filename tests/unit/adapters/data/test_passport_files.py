"""Records about a digest, and the label that an image carries."""

import json
from pathlib import Path

import pytest

from builder.adapters.data import passport_files
from builder.domain.isa import IsaLevel
from builder.domain.passport import Run, Verified
from builder.domain.sealed import sealed_document, sealed_text
from builder.errors import UsageError
from tests.unit.domain.test_admission import image

PROOF = {
    "digest": "d",
    "level": "x86-64-v2",
    "model": "Nehalem",
    "emulator": "qemu-x86_64 version 7.2.22",
    "date": "2026-11-22",
    "outcomes": [
        {"workload": {"name": "import torch"}, "ending": "passed"},
        {"workload": {"name": "numpy", "covers": "sorting"}, "ending": "passed"},
        {"workload": {"name": "synthetic", "covers": ""}, "ending": "timeout"},
        {
            "workload": {"name": "crash", "covers": "x", "known": {"reason": "f needs AVX2"}},
            "ending": "known",
            "sites": [{"function": "f"}],
        },
    ],
    "suspects": [
        {"function": "e", "entered_by": "import torch"},
        {"function": "f", "entered_by": "crash"},
        {"function": "g", "entered_by": ""},
    ],
}
EVIDENCE = {
    "digest": "d",
    "size": 7,
    "level": "L2",
    "device": "cpu",
    "date": "2026-11-22",
    "failed": [],
    "checks": [],
}


def written(folder: Path, *records: object) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record))
    return [folder]


def test_records_are_found_by_their_digest(tmp_path: Path) -> None:
    other = {**EVIDENCE, "digest": "other"}
    folders = written(tmp_path / "a", PROOF, other) + written(tmp_path / "b", EVIDENCE)
    (tmp_path / "b" / "damaged.json").write_text("{")
    found = passport_files.records([*folders, tmp_path / "none"], "d")
    assert found == (PROOF, EVIDENCE)
    assert passport_files.size_of(found) == 7
    assert passport_files.runs(found) == (
        Run(
            level=IsaLevel.V2,
            how="qemu",
            cpu="Nehalem",
            passed=("import torch", "numpy: sorting"),
            failed=("synthetic",),
            known=("f needs AVX2",),
            date="2026-11-22",
            entered=1,
            unentered=1,
        ),
    )
    assert passport_files.verifications(found) == (
        Verified(level="L2", device="cpu", date="2026-11-22"),
    )


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({**EVIDENCE, "failed": ["imports"]}, id="a-check-failed"),
        pytest.param({**EVIDENCE, "level": None}, id="no-level"),
        pytest.param({**PROOF, "level": None}, id="a-model-of-no-level"),
        pytest.param({"digest": "d", "key": "k"}, id="a-note"),
    ],
)
def test_what_proves_nothing_is_no_proof(record: dict[str, object]) -> None:
    assert passport_files.runs((record,)) == ()
    assert passport_files.verifications((record,)) == ()


def test_a_run_without_an_emulator_is_native() -> None:
    (run,) = passport_files.runs(({**PROOF, "emulator": "", "level": "x86-64-v4"},))
    assert (run.how, run.level) == ("native", IsaLevel.V4)


def test_the_same_record_twice_counts_once() -> None:
    assert len(passport_files.runs((PROOF, PROOF))) == 1
    assert len(passport_files.verifications((EVIDENCE, EVIDENCE))) == 1


def test_a_label_reads_back() -> None:
    sealed = image("cu124")
    found = passport_files.read_label(sealed_text(sealed), "x")
    assert sealed_document(found) == sealed_document(sealed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x carries no passport"),
        ("{", "x carries a passport of another form (the whole: None is not of type 'object')"),
        ("{}", "x carries a passport of another form (the whole: 'schema' is a required property)"),
        (
            sealed_text(image("cpu")).replace("x86-64-v2", "i686"),
            (
                "x carries a passport of another form (isa: 'i686' is not one of"
                " ['x86-64', 'x86-64-v2', 'x86-64-v3', 'x86-64-v4'])"
            ),
        ),
    ],
    ids=["none", "no-json", "empty", "another-level"],
)
def test_another_label_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        passport_files.read_label(text, "x")
    assert str(caught.value) == message
    assert caught.value.hint
