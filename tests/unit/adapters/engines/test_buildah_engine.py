"""What buildah must be for Cellar, and the commands that it is given."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters import environment, process
from builder.adapters.engines.buildah_engine import BuildahEngine
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.errors import EngineError, HostError
from tests.unit.commands.fakes import Silence, sha

DIGEST = f"sha256:{sha('image')}"
IMAGE = ImageRef(tag="cellar/x:cpu", digest=DIGEST)


class Commands:
    """Stands for the buildah command: answers by its first word, and writes down the rest."""

    def __init__(self, **answers: str | Exception) -> None:
        self.answers: dict[str, str | Exception] = {
            "--version": "buildah version 1.28.2 (image-spec 1.1)",
            "inspect": f"{DIGEST}\n",
            "from": "x-working-container\n",
            **answers,
        }
        self.seen: list[list[str]] = []

    def run(self, argv: Sequence[str]) -> str:
        words = list(argv)
        self.seen.append(words)
        answer = self.answers.get(words[words.index("buildah") + 1], "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, argv: Sequence[str], on_line: Callable[[str], None]) -> None:
        on_line("[1/1] STEP 1/1: FROM scratch AS files")
        self.run(argv)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(process, "run", made.run)
    monkeypatch.setattr(process, "stream", made.stream)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(environment, "variable", lambda _, default="": default)
    return made


def failed(tail: str = "first\nlast words") -> process.ToolError:
    return process.ToolError(["buildah"], 125, tail)


def test_version(commands: Commands) -> None:
    assert commands.seen == []
    assert BuildahEngine().version() == "buildah 1.28.2, runc"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(HostError("no buildah"), "buildah is not installed", id="absent"),
        pytest.param("buildah version 1.19.6 (x)", "buildah 1.19.6 is too old", id="too-old"),
        pytest.param("what?", "buildah 0 is too old", id="no-number"),
    ],
)
def test_a_buildah_that_does_not_serve(
    answer: str | Exception, words: str, commands: Commands
) -> None:
    commands.answers["--version"] = answer
    with pytest.raises(EngineError, match=words) as raised:
        BuildahEngine().version()
    assert "cellar host --engine buildah --install" in str(raised.value.hint)


def test_without_runc(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EngineError, match="buildah has no runc"):
        BuildahEngine().version()
    monkeypatch.setattr(environment, "variable", lambda *_: "chroot")
    assert BuildahEngine().version() == "buildah 1.28.2, chroot"
    assert commands.seen


@pytest.fixture
def order(tmp_path: Path) -> BuildRequest:
    (tmp_path / "Dockerfile").write_text("FROM x AS y\nRUN --network=none \\\n    make\n")
    layout = tmp_path / ".cellar" / "bootstrap"
    layout.mkdir(parents=True)
    (layout / "oci-layout").touch()
    (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": DIGEST}]}))
    return BuildRequest(
        dockerfile=tmp_path / "Dockerfile",
        target="runtime",
        contexts={"debs": tmp_path / "debs", "bootstrap": layout},
        epoch=7,
        annotations={"cellar.cell": "cpu"},
    )


def test_the_command_that_builds(commands: Commands, order: BuildRequest, tmp_path: Path) -> None:
    assert BuildahEngine().build_image(order, tag=IMAGE.tag, progress=Silence()) == IMAGE
    build, untag, inspect = commands.seen
    words = " ".join(build)
    assert words.startswith("buildah build --network none --format oci --target runtime ")
    for part in ("--timestamp 7", "--no-cache", "--layers=false", "--annotation cellar.cell=cpu"):
        assert part in words
    assert f"--build-context debs={tmp_path}/debs" in words
    # buildah takes an OCI layout's path for an image name, in which no dot may begin a part.
    (layout,) = [word for word in build if word.startswith("bootstrap=")]
    path = layout.removeprefix("bootstrap=container-image://oci:")
    assert "/." not in path
    assert untag == ["buildah", "rmi", f"localhost{path}"]
    assert not Path(path).parent.exists()
    assert inspect[1] == "inspect"


def test_its_dockerfile_is_the_same_but_for_a_flag_it_lacks(
    commands: Commands, order: BuildRequest, tmp_path: Path
) -> None:
    BuildahEngine().build_image(order, tag=IMAGE.tag, progress=Silence())
    given = commands.seen[0][commands.seen[0].index("--file") + 1]
    assert Path(given).read_text() == "FROM x AS y\nRUN \\\n    make\n"
    assert (tmp_path / "Dockerfile").read_text() == "FROM x AS y\nRUN --network=none \\\n    make\n"


def test_a_chroot_gets_a_network_of_its_own(
    commands: Commands, order: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "variable", lambda *_: "chroot")
    BuildahEngine().build_image(order, tag=IMAGE.tag, progress=Silence())
    assert commands.seen[0][:3] == ["unshare", "--net", "buildah"]


def test_a_failing_step_is_told(commands: Commands, order: BuildRequest) -> None:
    commands.answers["build"] = failed()
    with pytest.raises(EngineError) as raised:
        BuildahEngine().build_image(order, tag=IMAGE.tag, progress=Silence())
    expected = "the build of runtime failed\nfiles 1/1: FROM scratch AS files: exit code 125"
    assert str(raised.value) == expected
    assert str(raised.value.hint).startswith("by hand: buildah build ")


def test_files_are_copied_out_and_nothing_stays(
    commands: Commands, order: BuildRequest, tmp_path: Path
) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "x.whl").write_text("wheel")
    commands.answers["mount"] = f"{tmp_path}/mounted\n"
    target = replace(order, target="files")
    BuildahEngine().build_files(target, into=tmp_path / "files", progress=Silence())
    assert (tmp_path / "files" / "x.whl").read_text() == "wheel"
    assert [words[1:] for words in commands.seen[-2:]] == [
        ["rm", "x-working-container"],
        ["rmi", "localhost/cellar/files:files"],
    ]


def test_find(commands: Commands) -> None:
    assert BuildahEngine().find(IMAGE.tag) == IMAGE
    commands.answers["inspect"] = failed()
    assert BuildahEngine().find(IMAGE.tag) is None


def test_run(commands: Commands, tmp_path: Path) -> None:
    options = RunOptions(
        user="5:5",
        tmpfs=("/t",),
        mounts={tmp_path: "/data", Path("/in"): "/in"},
        writable=frozenset({"/data"}),
    )
    BuildahEngine().run(IMAGE, ["a b"], options)
    _, run, remove = commands.seen
    assert " ".join(run[run.index("run") :]) == (
        "run --isolation oci --runtime runc --network none --user 5:5 "
        f"--mount type=tmpfs,destination=/t --volume {tmp_path}:/data:rw --volume /in:/in:ro "
        "x-working-container -- a b"
    )
    assert remove == ["buildah", "rm", "x-working-container"]


def test_a_failing_program_is_told_and_its_container_removed(commands: Commands) -> None:
    commands.answers["run"] = failed()
    with pytest.raises(EngineError, match=r"^true ended with exit code 125 in cellar/x:cpu:\n"):
        BuildahEngine().run(IMAGE, ["true"], RunOptions())
    assert commands.seen[-1] == ["buildah", "rm", "x-working-container"]


def test_a_refusal_is_one_line(commands: Commands, tmp_path: Path) -> None:
    commands.answers["push"] = failed("much\nno space left on device")
    with pytest.raises(EngineError, match=r"^buildah push refused: no space left on device$"):
        BuildahEngine().save(IMAGE, into=tmp_path / "layout")


def test_a_read_only_root_is_refused_with_a_remedy(commands: Commands) -> None:
    with pytest.raises(EngineError, match="no container with a read-only root") as raised:
        BuildahEngine().run(IMAGE, ["true"], RunOptions(read_only=True))
    assert raised.value.hint == "verify the image with --engine docker"
    assert commands.seen == []
