"""Lines of BuildKit and buildah as progress, and the last words of a failing step."""

from dataclasses import dataclass, field

import pytest

from builder.adapters.engines.build_log import BuildahLines, BuildSteps, take_buildkit

BUILDKIT_FAILURE = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 5.54kB done
#1 DONE 0.0s
#2 [torch 1/1] RUN --network=none     --mount=type=bind,from=steps /mnt/steps/install-wheels /opt
#2 CACHED
#3 [build-mmdet3d 1/1] RUN --network=none   --mount=type=bind,from=x /mnt/steps/build-wheels /o /x
#3 0.168 compiling one
#3 1.500 cannot compile two
#3 ERROR: process "/bin/sh -c x" did not complete successfully: exit code: 1
------
 > [build-mmdet3d 1/1] RUN x:
"""
BUILDAH = """\
[1/2] STEP 1/2: FROM oci:/x/bootstrap AS debian
Getting image source signatures
[1/2] STEP 2/2: RUN     --mount=type=bind,from=debs /mnt/steps/install-debian /mnt/essential
Unpacking dash
[2/2] STEP 1/1: FROM scratch AS base
[2/2] COMMIT localhost/x
Copying blob sha256:1
"""


@dataclass
class Listener:
    """Writes down what is told."""

    told: list[str] = field(default_factory=list)

    def task(self, text: str, *, total: int | None = None, unit: str = "step") -> "Listener":
        assert (total, unit) == (None, "step")
        return self.note(f"begin {text}")

    def note(self, text: str) -> "Listener":
        self.told.append(text)
        return self

    def advance(self, amount: int) -> None:
        raise AssertionError(amount)

    def describe(self, text: str) -> None:
        self.note(text)

    def finish(self) -> None:
        self.note("end")

    def say(self, text: str) -> None:
        self.note(f"said {text}")


def steps_of(listener: Listener) -> BuildSteps:
    ticks = iter(range(1000))
    return BuildSteps(listener, clock=lambda: float(next(ticks)))


def test_buildkit() -> None:
    listener = Listener()
    steps = steps_of(listener)
    for line in BUILDKIT_FAILURE.splitlines():
        take_buildkit(steps, line)
    name = "build-mmdet3d 1/1: build-wheels"
    assert listener.told == [
        f"begin {name}",
        f"{name} [1 s] compiling one",
        f"{name} [2 s] cannot compile two",
        "end",
    ]
    assert steps.failure == (
        f'{name}: process "/bin/sh -c x" did not complete successfully: exit code: 1\n'
        "  | compiling one\n  | cannot compile two"
    )


def test_buildah() -> None:
    listener = Listener()
    steps = steps_of(listener)
    lines = BuildahLines(steps)
    for line in BUILDAH.splitlines():
        lines.take(line)
    assert listener.told == [
        "begin debian 1/2: FROM oci:/x/bootstrap AS debian",
        "debian 1/2: FROM oci:/x/bootstrap AS debian [1 s] Getting image source signatures",
        "end",
        "begin debian 2/2: install-debian",
        "debian 2/2: install-debian [1 s] Unpacking dash",
        "end",
        "begin base 1/1: FROM scratch AS base",
        "end",
        "begin image: layers",
        "image: layers [1 s] Copying blob sha256:1",
    ]


@pytest.mark.parametrize("line", ["", "no step", "#x [a 1/1] RUN b", "#7"])
def test_other_lines_say_nothing(line: str) -> None:
    listener = Listener()
    take_buildkit(steps_of(listener), line)
    assert listener.told == []


def _interrupted(steps: BuildSteps) -> None:
    with steps.beating():
        steps.announce("1", "one")
        steps.begin("1")
        raise KeyboardInterrupt


def test_steps_that_are_interrupted_end() -> None:
    listener = Listener()
    steps = steps_of(listener)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(steps)
    assert listener.told == ["begin one", "end"]


def test_a_compile_tells_its_count_and_what_remains() -> None:
    listener = Listener()
    steps = steps_of(listener)
    for line in (
        "#3 [build-mmdet3d 1/1] RUN --network=none /mnt/steps/build-wheels /opt /x",
        "#3 1.0 [1/73] c++ -MMD one.cpp",
        "#3 2.0     |     ^~~~",
        "#3 3.0 [10/73] c++ -MMD ten.cpp",
    ):
        take_buildkit(steps, line)
    assert listener.told[-1] == "build-mmdet3d 1/1: build-wheels [5 s] 10/73 compiled, 0:25 left"


NINJA = "#3 2.0 ninja: build stopped: subcommand failed."
PIP = [f"#3 3.{number} of pip's traceback, line {number}" for number in range(20)]


@pytest.mark.parametrize(
    ("line", "exit_code", "shown", "remedy"),
    [
        pytest.param("a.cu(7): error: no such type", 1, True, "", id="source"),
        pytest.param("a.cu:1:10: fatal error: THC/THC.h: No such file", 1, True, "", id="header"),
        pytest.param(
            "nvcc error   : 'cicc' died due to signal 9 (Kill signal)", 1, True, "memory", id="nvcc"
        ),
        pytest.param("c++: fatal error: Killed signal", 1, True, "memory", id="gcc"),
        pytest.param("compiling", 137, False, "memory", id="exit-code"),
        pytest.param(
            "ld: final link failed: No space left on device",
            1,
            True,
            "the engine's disk",
            id="disk",
        ),
        pytest.param("compiling", 1, False, "", id="nothing-known"),
    ],
)
def test_the_cause_of_a_failed_compile_is_not_lost_behind_pips_words(
    line: str,
    exit_code: int,
    shown: bool,  # noqa: FBT001 - a column of the table
    remedy: str,
) -> None:
    steps = steps_of(Listener())
    for text in (
        "#3 [build-mmdet3d 1/1] RUN --network=none /mnt/steps/build-wheels /opt /x",
        f"#3 1.0 {line}",
        NINJA,
        *PIP,
        f'#3 ERROR: process "x" did not complete successfully: exit code: {exit_code}',
    ):
        take_buildkit(steps, text)
    assert steps.failure.splitlines()[1:-15] == ([f"  | {line}"] if shown else [])
    assert steps.remedy.split(" ran")[0].split(" is")[0] == remedy


def test_fewer_jobs_than_asked_for_are_told_for_good() -> None:
    listener = Listener()
    steps = steps_of(listener)
    for line in (
        "#3 [build-mmdet3d 1/1] RUN --network=none /mnt/steps/build-wheels /opt /x",
        "#3 1.0 memory for 1 of 8 compilers at once; each takes up to 2 GB",
    ):
        take_buildkit(steps, line)
    name = "build-mmdet3d 1/1: build-wheels"
    assert (
        f"said {name}: memory for 1 of 8 compilers at once; each takes up to 2 GB" in listener.told
    )
