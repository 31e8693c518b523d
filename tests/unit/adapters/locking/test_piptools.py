"""pip-compile in a base: how it is started, and what its failures become."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pytest

from builder.adapters import process
from builder.adapters.locking.host_pip import HOME, HostPip
from builder.adapters.locking.piptools import PipTools
from builder.domain.version import PythonVersion
from builder.errors import CellarError, DataError, EngineError, NetworkError

HOST = HostPip(settings={}, variables={}, netrc=None)
Mounts = Mapping[Path, PurePosixPath]


class Base:
    """A container that writes what a test says instead of resolving anything."""

    def __init__(self, *, output: str = "", said: str | None = None) -> None:
        self.output, self.said = output, said
        self.argv: list[str] = []
        self.files: dict[str, str] = {}

    def __call__(self, argv: Sequence[str], mounts: Mounts) -> str:
        self.argv = list(argv)
        outside = {place: path for path, place in mounts.items()}
        inside = outside[PurePosixPath("/cellar/in")]
        self.files = {path.name: path.read_text() for path in inside.iterdir()}
        home = outside[HOME]
        if self.said is not None:
            (home / "pip-compile.log").write_text(self.said)
            message = "sh ended with exit code 1"
            raise EngineError(message)
        (home / "runtime.txt").write_text(self.output)
        return "talk on stdout does not count"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Start no program; return those that would have been."""
    calls: list[Sequence[str]] = []

    def start(argv: Sequence[str], **_named: object) -> str:
        calls.append(argv)
        return ""

    monkeypatch.setattr(process, "run", start)
    return calls


def compile_in(base: Base, fence: str = "") -> str:
    with PipTools(base, python=PythonVersion(3, 11), host=HOST, not_after=fence) as pip:
        return pip.compile("runtime", "numpy\n", "torch==2.13.0+cpu\n")


def test_only_wheels_up_to_the_fence_are_resolved_in_the_base(
    started: list[Sequence[str]],
) -> None:
    base = Base(output="numpy==1.26.4\n")
    assert compile_in(base, "2026-11-22T00:00:00Z") == "numpy==1.26.4\n"
    assert base.files == {"runtime.in": "numpy\n", "constraints.txt": "torch==2.13.0+cpu\n"}
    assert "python3.11 -m piptools compile" in base.argv[2]
    options = base.argv[4:]
    assert {"--uploaded-prior-to=2026-11-22T00:00:00Z", "--constraint=constraints.txt"} < set(
        options
    )
    assert any("--only-binary=:all:" in option for option in options)
    (install,) = started
    assert {"--require-hashes", "--only-binary=:all:", "--no-deps"} < set(install)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compile_in(Base(output="x==1\n"))
    with pytest.raises(DataError):
        compile_in(Base(said="ERROR: x"))
    assert list(tmp_path.iterdir()) == []


CONFLICT = """\
  ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.

The conflict is caused by:
    a 1 depends on c<2
    b 2 depends on c>=2

To fix this you could try to:
1. loosen the range of package versions you've specified
Traceback (most recent call last):
pip.DistributionNotFound: ResolutionImpossible: for help visit a page
"""
NONE = """\
  WARNING: pip is using lazily downloaded wheels
  ERROR: Ignored the following yanked versions: 2.4.0
  ERROR: Could not find a version that satisfies the requirement numpy<1.20 (from versions: 1.23, 2)
Traceback (most recent call last):
  File "x", line 1, in y
pip.DistributionNotFound: No matching distribution found for numpy<1.20
"""
SYNTAX = """\
Traceback (most recent call last):
  File "x", line 1
pip.InstallationError: Invalid requirement: 'a b c': Expected semicolon
    a b c
      ^ (from line 1 of runtime.in)
"""
SILENT = """\
  WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)': /simple/
  ERROR: Could not find a version that satisfies the requirement tqdm (from versions: none)
"""


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        pytest.param(
            CONFLICT,
            DataError,
            "requirements/runtime.in: no set of versions fits: a 1 depends on c<2; "
            "b 2 depends on c>=2",
            id="conflict",
        ),
        pytest.param(
            NONE,
            DataError,
            "requirements/runtime.in: no set of versions fits: Could not find a version that "
            "satisfies the requirement numpy<1.20",
            id="no-such-version",
        ),
        pytest.param(
            SYNTAX,
            DataError,
            "requirements/runtime.in: no set of versions fits: Invalid requirement: 'a b c': "
            "Expected semicolon",
            id="syntax",
        ),
        pytest.param(
            SILENT,
            NetworkError,
            "layer runtime: a package index does not answer; Could not find a version that "
            "satisfies the requirement tqdm (from versions: none)",
            id="unreachable",
        ),
        pytest.param(
            "torch==2.13.0+cpu\n",
            EngineError,
            "layer runtime: pip-compile was stopped: sh ended with exit code 1",
            id="stopped-from-outside",
        ),
    ],
)
def test_a_failure_is_one_line(said: str, kind: type[CellarError], message: str) -> None:
    with pytest.raises(CellarError) as caught:
        compile_in(Base(said=said))
    assert (type(caught.value), str(caught.value)) == (kind, message)
