"""`cellar passport` and `cellar doctor IMAGE`, over an image that lies on disk."""

import json
from pathlib import Path

import pytest

from builder.adapters.data.schemas import validator
from builder.cli import main
from builder.domain.sealed import sealed_text
from tests.unit.adapters.audit.test_audit_inputs import layer, oci_layout
from tests.unit.domain.test_admission import image

ASSETS = Path(__file__).parents[2] / "assets" / "isa"


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CELLAR_STORE", str(tmp_path / "store"))
    for name in ("GPU", "DRIVER", "ISA", "WSL"):
        monkeypatch.delenv(f"CELLAR_OVERRIDE_{name}", raising=False)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return an image of the cell cu124 that holds one text."""
    labels = {"cellar.passport": sealed_text(image("cu124"))}
    files = layer({"etc/motd": b"hello"})
    return oci_layout(tmp_path / "layout", [files], labels=labels)


def manifest_of(layout: Path) -> dict[str, object]:
    """Return the descriptor of the image, which stands behind its attestation."""
    index = json.loads((layout / "index.json").read_text())
    return dict(index["manifests"][-1])


def test_the_passport_of_a_layout(layout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passport", str(layout), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(validator("passport").iter_errors(found)) == []
    assert found["digest"] == manifest_of(layout)["digest"]
    assert found["size"] > 0
    assert (found["sealed"]["cell"], found["proven"]) == ("cu124", None)
    assert found["audit"] == {"lowest": "x86-64", "verdict": "clean", "open": {}, "licence": 0}


def test_an_artefact_is_written(layout: Path, tmp_path: Path) -> None:
    into = tmp_path / "artefact"
    assert main(["passport", str(layout), "--oci-layout", str(into)]) == 0
    digest = json.loads((into / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads((into / "blobs" / Path(*digest.split(":"))).read_text())
    subject = manifest_of(layout)
    assert manifest["subject"].items() >= {k: subject[k] for k in ("digest", "size")}.items()


H100 = ["--gpu", "9.0", "--isa", "x86-64-v3"]


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        pytest.param([*H100, "--driver", "550.54.14"], 0, ("runs", None), id="runs"),
        pytest.param(
            [*H100, "--driver", "470.57.02"], 3, ("will not run", "cu118"), id="old-driver"
        ),
        pytest.param(["--gpu", "none"], 3, ("will not run", "cpu"), id="no-gpu"),
        pytest.param([*H100, "--driver", "none"], 1, ("cannot be told", None), id="unknown"),
    ],
)
def test_a_host_is_held_against_a_passport(
    layout: Path,
    words: list[str],
    code: int,
    answer: tuple[str, str | None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", str(layout), "--json", *words]) == code
    found = json.loads(capsys.readouterr().out)
    assert list(validator("admission").iter_errors(found)) == []
    assert (found["answer"], found["instead"]) == answer


def test_the_answer_for_people(layout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(layout), *H100, "--driver", "470.57.02"]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{layout}: will not run, because driver 470.57.02 is older than 525.60.13,"
        " the oldest for CUDA 12.x; the best cell for this host is cu118"
    )


@pytest.mark.parametrize("verb", ["passport", "doctor"])
def test_an_image_without_a_passport_is_one_line(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = oci_layout(tmp_path / "plain", [layer({"etc/motd": b"hello"})])
    assert main([verb, str(plain)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {plain} carries no passport",
        " hint: only images that Cellar built have one; build it anew",
    ]


def test_an_audit_holds_an_image_against_the_gpus_that_it_declares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"cellar.passport": sealed_text(image("cu124"))}
    code = (ASSETS / "fatbin.elf").read_bytes()
    layout = oci_layout(tmp_path / "layout", [layer({"lib/a.so": code})], labels=labels)
    assert main(["audit", str(layout), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpus"] == ["7.0", "7.5", "8.0", "8.6", "9.0"]
    (file,) = found["files"]
    services = {one["device"]: one["service"] for one in file["gpu"]["judgements"]}
    assert services == {
        "7.0": "native", "7.5": "native", "8.0": "missing", "8.6": "native", "9.0": "missing",
    }  # fmt: skip
    assert main(["audit", str(layout), "--gpu", "9.0"]) == 8
