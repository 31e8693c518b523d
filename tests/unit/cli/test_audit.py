"""`cellar audit` from its words to what it prints, writes and returns."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import pytest

from builder.adapters.data import schemas
from builder.cli import main

ASSETS = Path(__file__).parents[2] / "assets" / "isa"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLAR_AUDIT_CACHE", str(tmp_path / "cache"))


def asset(*names: str) -> list[str]:
    return [str(ASSETS / f"{name}.elf") for name in names]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (asset("clean"), 0),
        ([*asset("init-fail"), "--isa", "x86-64-v2"], 8),
        ([*asset("init-fail"), "--isa", "x86-64-v3"], 0),
        (asset("direct"), 0),
        ([*asset("direct"), "--fail-on", "suspect"], 8),
        ([*asset("table"), "--fail-on", "pointer"], 8),
        (asset("i386", "object"), 0),
        ([*asset("fatbin"), "--gpu", "8.6,8.9"], 0),
        ([*asset("fatbin"), "--gpu", "8.6,9.0"], 8),
        ([*asset("fatbin")], 0),
    ],
    ids=[
        "clean",
        "fails",
        "level",
        "suspect",
        "fail-on",
        "pointer",
        "skipped",
        "gpus-served",
        "gpu-missing",
        "no-gpu",
    ],
)
def test_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--jobs", "1", *words]) == code
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([*asset("clean"), "--isa", "x86-64-v9"], 2, "error: ISA level 'x86-64-v9' is unknown"),
        ([*asset("clean"), "--gpu", "eight"], 2, "error: 'eight' is not a compute capability"),
        ([*asset("clean"), "--jobs", "0"], 2, "error: --jobs 0 leaves no process to work"),
        ([*asset("clean"), "--waivers", "no.yaml"], 2, "error: no.yaml does not exist"),
        (
            [*asset("clean"), "--html", "/nowhere/page.html"],
            6,
            "error: /nowhere/page.html cannot be written: No such file or directory",
        ),
        ([__file__], 2, f"error: {__file__} is no ELF file, wheel or image archive"),
    ],
    ids=["level", "gpu", "jobs", "waivers", "page", "target"],
)
def test_bad_words_are_one_line_and_a_hint(
    words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *words]) == code
    error = capsys.readouterr().err.splitlines()
    assert next(line for line in error if not line.startswith("decoding")) == text


def test_a_damaged_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.so"
    path.write_bytes((ASSETS / "direct.elf").read_bytes()[:700])
    assert main(["audit", str(path)]) == 8
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith(f"error: {path}: ")
    assert len(error) == 2


LEAKED = """\
target    leaked.elf
files     1 ELF files for x86-64, 0.0 MB of code decoded
verdict   suspect at x86-64: code above the level is called directly, and no guard was found
lowest    x86-64 is the lowest level at which nothing is known to fail

by verdict: 1 suspect

verdict              lowest      code MB  functions above  file
suspect              x86-64          0.0                9  leaked.elf

leaked.elf: 1 suspect (direct), 8 pointer (table)
  suspect   square_sum
            needs avx avx2
            0x790: vpxor %xmm1,%xmm1,%xmm1
            called directly, without a guard, from ordinary [leaked.c]
            an inline function that leaked from a unit compiled for the ISA
"""


def test_the_report_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ASSETS)
    main(["audit", "leaked.elf", "--isa", "x86-64"])
    out = capsys.readouterr().out
    site = next(line for line in out.splitlines() if "vpxor" in line).split(":")[0].strip()
    assert out == LEAKED.replace("0x790", site).replace(" [leaked.c]", _unit(out))


def _unit(out: str) -> str:
    return " [leaked.c]" if "[leaked.c]" in out else ""


def test_device_code_is_held_against_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    main(["audit", *asset("fatbin"), "--gpu", "8.9,9.0,6.2"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    start = lines.index("device code")
    assert lines[start + 1].endswith("3 fat binaries, 0.0 MB; own sm_70 sm_86")
    assert lines[start + 2 :] == [
        "added by static libraries: compute_61 sm_61",
        "GPU 8.9: native; fat binaries: 2 native, 1 by JIT",
        "GPU 9.0: missing; fat binaries: 1 by JIT, 2 without",
        "GPU 6.2: missing; fat binaries: 1 native, 2 without",
        "superfluous for the declared GPUs: sm_70 0.0 MB",
    ]


@pytest.mark.parametrize("gpus", [[], ["--gpu", "8.6,9.0"]], ids=["no-gpu", "gpus"])
def test_json_keeps_to_its_schema(gpus: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["audit", str(ASSETS), "--json", "--jobs", "1", *gpus])
    document = json.loads(capsys.readouterr().out)
    assert list(schemas.validator("audit").iter_errors(document)) == []
    assert document["verdict"] == "init-fail"
    assert document["lowest_level"] == "x86-64-v3"
    assert {row["name"]: row["verdict"] for row in document["files"]}["stripped.elf"] == "unknown"


class _Balanced(HTMLParser):
    """Checks that every element that must be closed is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its signature
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_the_page_is_whole(tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    words = [str(ASSETS), "--html", str(page), "--gpu", "8.6", "--isa", "x86-64", "--jobs", "1"]
    assert main(["audit", *words]) == 8
    parser = _Balanced()
    parser.feed(page.read_text())
    assert parser.open == []
    assert {"init-fail", "leaked inline", "Functions to look at", "Device code"} <= {*parser.text}
    assert "http" not in page.read_text()


def test_names_are_escaped_in_the_page(tmp_path: Path) -> None:
    target = tmp_path / "<script>alert(1)<"
    target.mkdir()
    (target / "<b>.so").write_bytes((ASSETS / "direct.elf").read_bytes())
    page = tmp_path / "audit.html"
    main(["audit", str(target), "--html", str(page)])
    assert "<script>" not in page.read_text()
    assert "&lt;b&gt;.so" in page.read_text()


def test_waivers_take_findings_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["audit", *asset("direct"), "--json"])
    build_id = json.loads(capsys.readouterr().out)["files"][0]["build_id"]
    path = tmp_path / "waivers.yaml"
    path.write_text(
        f"waivers:\n  - build_id: {build_id}\n    verdict: suspect\n    function: hidden_sum\n"
        "    reason: its only caller is never used\n    evidence: read on the day of the review\n"
    )
    words = [*asset("direct"), "--fail-on", "suspect"]
    assert main(["audit", *words]) == 8
    assert main(["audit", *words, "--waivers", str(path)]) == 0
    assert "hidden_sum, 1 functions: its only caller is never used" in capsys.readouterr().out


def test_what_got_worse_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, kept = tmp_path / "lib", tmp_path / "baseline.json"
    target.mkdir()
    library = target / "libx-0123abcd.so"
    library.write_bytes((ASSETS / "direct.elf").read_bytes())
    words = ["audit", str(target), "--baseline", str(kept)]
    assert main(["audit", str(target), "--write-baseline", str(kept)]) == 0
    assert main(words) == 0
    library.rename(target / "libx-4567cdef.so")
    assert main(words) == 0
    (target / "liby.so").write_bytes((ASSETS / "stripped.elf").read_bytes())
    (target / "libx-4567cdef.so").write_bytes((ASSETS / "exported.elf").read_bytes())
    capsys.readouterr()
    assert main(words) == 8
    said = capsys.readouterr().err
    assert "worse: liby.so is new, and unknown" in said
    assert "worse: libx.so has 2 suspect functions, and had 1" in said
    assert main([*words, "--isa", "x86-64"]) == 2
    kept.write_text("{}")
    assert main(words) == 9


def test_an_image_that_docker_does_not_have_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Error: No such image' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert main(["audit", "nowhere/image:tag"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: nowhere/image:tag is neither a file nor a local image",
        " hint: check the path, or `docker pull nowhere/image:tag`",
    ]
    docker.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["audit", "nowhere/image:tag"]) == 2
    assert "there is no docker to ask" in capsys.readouterr().err
