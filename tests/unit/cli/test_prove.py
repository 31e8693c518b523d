"""`cellar prove`, as far as it goes without an image to run."""

from pathlib import Path

import pytest

from builder.cli import main

QEMU = """\
#!/bin/sh
case "$*" in
  *help*) echo 'Available CPUs:'; echo 'x86 Nehalem  some text'; echo 'x86 Haswell'; exit 1 ;;
  *) echo 'qemu-x86_64 version 7.2.22' ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands in front of this host's programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CELLAR_AUDIT_CACHE", str(tmp_path / "cache"))
    program = folder / "qemu-x86_64-static"
    program.write_text(QEMU)
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["x.tar", "--cpu", "x86-64-v4"], 2, "error: x86-64-v4 cannot be proven under qemu"),
        (["x.tar", "--cpu", "Pentium"], 2, "error: 'Pentium' is neither an ISA level nor a CPU"),
        (["x.tar", "--run", "nothing"], 2, "error: --run 'nothing' is not NAME=COMMAND"),
        (["x.tar", "--run", "a='b"], 2, 'error: --run "a=\'b" is not NAME=COMMAND'),
        (["no/such/image"], 2, "error: no/such/image is neither a file nor a local image"),
    ],
    ids=["v4", "model", "run", "quote", "image"],
)
def test_bad_words_are_one_line(
    tools: Path, words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tools / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    assert main(["prove", *words]) == code
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith(text)
    assert len(error) == 2


def test_without_qemu_the_package_is_named(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tools))
    (tools / "qemu-x86_64-static").unlink()
    assert main(["prove", "x.tar"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: qemu-x86_64-static is not installed",
        " hint: apt-get install qemu-user-static",
    ]
