"""What Docker must be for Cellar, each lack in one line; and the command that builds."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from builder.adapters import process
from builder.adapters.engines.docker_engine import DockerEngine
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.errors import EngineError, HostError
from tests.unit.commands.fakes import Silence, sha

DIGEST = f"sha256:{sha('image')}"
IMAGE = ImageRef(tag="cellar/x:cpu", digest=DIGEST)
CONTAINERD = [["driver-type", "io.containerd.snapshotter.v1"]]


@dataclass
class Daemon:
    """The parts of a Docker client that the engine uses."""

    version_number: str = "26.1.5+dfsg1"
    driver: object = field(default_factory=lambda: CONTAINERD)
    refusal: Exception | None = None
    exit_code: int = 0
    made: list[dict[str, object]] = field(default_factory=list)
    removed: int = 0

    def ping(self) -> None: ...

    def version(self) -> dict[str, str]:
        return {"Version": self.version_number}

    def info(self) -> dict[str, object]:
        return {"DriverStatus": self.driver}

    @property
    def images(self) -> "Daemon":
        return self

    containers = images

    def get(self, tag: str) -> "Daemon":
        if self.refusal:
            raise self.refusal
        assert tag == IMAGE.tag
        return self

    id = DIGEST

    def create(self, image: str, argv: list[str], **options: object) -> "Daemon":
        if self.refusal:
            raise self.refusal
        self.made.append({"image": image, "argv": argv, **options})
        return self

    def start(self) -> None: ...

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self.exit_code}

    def logs(self, *, stdout: bool = True, stderr: bool = True) -> bytes:
        return b"out\n" if stdout and not stderr else b"out\nwords\n"

    def remove(self, *, force: bool) -> None:
        assert force
        self.removed += 1


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    found = Daemon()
    monkeypatch.setattr(docker, "from_env", lambda: found)
    answers = {"inspect": "Name: default\nDriver: docker\n", "version": "buildx 0.13.1 x"}
    monkeypatch.setattr(process, "run", lambda argv: answers[argv[2]])
    return found


def test_version_names_what_decides_the_bytes(daemon: Daemon) -> None:
    assert daemon.version_number in DockerEngine().version()
    assert DockerEngine().version() == "docker 26.1.5+dfsg1, buildx 0.13.1"


@pytest.mark.parametrize(
    ("number", "driver", "words"),
    [
        pytest.param("24.0.7", CONTAINERD, "Docker 24.0.7 is too old, 25.0 is the", id="too-old"),
        pytest.param("nightly", CONTAINERD, "Docker nightly is too old", id="no-number"),
        pytest.param(
            "26.1", [["Backing", "xfs"]], "without the containerd image store", id="store"
        ),
        pytest.param("26.1", None, "without the containerd image store", id="silent"),
    ],
)
def test_a_daemon_that_does_not_serve(
    number: str, driver: object, words: str, daemon: Daemon
) -> None:
    daemon.version_number, daemon.driver = number, driver
    with pytest.raises(EngineError, match=words) as raised:
        DockerEngine().version()
    assert raised.value.hint
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        pytest.param("Connection refused", "cellar host --engine docker --install", id="stopped"),
        pytest.param(
            "[Errno 13] Permission denied", "group that owns Docker's socket", id="rights"
        ),
    ],
)
def test_a_daemon_that_does_not_answer(
    cause: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise DockerException(cause)

    monkeypatch.setattr(docker, "from_env", refuse)
    with pytest.raises(EngineError, match="Docker does not answer") as raised:
        DockerEngine().version()
    assert hint in str(raised.value.hint)


@pytest.mark.parametrize(
    ("error", "driver", "words"),
    [
        pytest.param(HostError("docker is not installed"), "", "lacks buildx", id="no-command"),
        pytest.param(process.ToolError(["docker"], 1, ""), "", "lacks buildx", id="no-buildx"),
        pytest.param(None, "docker-container", "with the driver docker-container", id="driver"),
    ],
)
def test_a_buildx_that_does_not_serve(
    error: Exception | None,
    driver: str,
    words: str,
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert daemon.driver

    def run(_: Sequence[str]) -> str:
        if error:
            raise error
        return f"Driver: {driver}\n"

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(EngineError, match=words) as raised:
        DockerEngine().version()
    assert raised.value.hint


def test_find(daemon: Daemon) -> None:
    assert DockerEngine().find(IMAGE.tag) == IMAGE
    daemon.refusal = ImageNotFound("no such image")
    assert DockerEngine().find(IMAGE.tag) is None


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda engine: engine.find(IMAGE.tag), id="find"),
        pytest.param(lambda engine: engine.run(IMAGE, ["true"], RunOptions()), id="run"),
    ],
)
def test_a_refusal_is_one_line(act: Callable[[DockerEngine], object], daemon: Daemon) -> None:
    daemon.refusal = APIError("x", explanation="no space left on device\nand more")
    with pytest.raises(EngineError, match=r"^Docker refused: no space left on device$"):
        act(DockerEngine())


def test_run_has_no_network_and_leaves_no_container(daemon: Daemon, tmp_path: Path) -> None:
    options = RunOptions(
        user="5:5",
        read_only=True,
        tmpfs=("/tmp",),  # noqa: S108
        mounts={tmp_path: "/data", Path("/in"): "/in"},
        writable=frozenset({"/data"}),
    )
    assert DockerEngine().run(IMAGE, ["true"], options) == "out\n"
    assert daemon.made == [
        {
            "image": DIGEST,
            "argv": ["true"],
            "user": "5:5",
            "read_only": True,
            "tmpfs": {"/tmp": ""},  # noqa: S108
            "network_mode": "none",
            "volumes": {
                str(tmp_path): {"bind": "/data", "mode": "rw"},
                "/in": {"bind": "/in", "mode": "ro"},
            },
        }
    ]
    assert daemon.removed == 1


def test_a_failing_program_is_told_with_its_words_and_the_command(daemon: Daemon) -> None:
    daemon.exit_code = 3
    with pytest.raises(EngineError, match="ended with exit code 3 in cellar/x:cpu") as raised:
        DockerEngine().run(IMAGE, ["a b"], RunOptions(user="5:5", tmpfs=("/t",)))
    assert str(raised.value).endswith("out\nwords")
    command = "docker run --rm --network none --user 5:5 --tmpfs /t cellar/x:cpu 'a b'"
    assert raised.value.hint == f"run it again by hand: {command}"
    assert daemon.removed == 1


@pytest.fixture
def request_(tmp_path: Path) -> BuildRequest:
    (tmp_path / "Dockerfile").touch()
    return BuildRequest(
        dockerfile=tmp_path / "Dockerfile",
        target="runtime",
        contexts={"b": tmp_path / "b", "a": tmp_path / "a"},
        epoch=7,
    )


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_the_command_that_builds(
    cold: bool,  # noqa: FBT001 - a table's column
    request_: BuildRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Sequence[str]] = []

    def stream(argv: Sequence[str], on_line: Callable[[str], None]) -> None:
        on_line("#1 [a 1/1] RUN x")
        seen.append(argv)
        place = Path(argv[argv.index("--metadata-file") + 1])
        place.write_text(json.dumps({"containerimage.digest": DIGEST}))

    monkeypatch.setattr(process, "stream", stream)
    changed = BuildRequest(
        dockerfile=request_.dockerfile,
        target=request_.target,
        contexts=request_.contexts,
        epoch=7,
        cold=cold,
        annotations={"cellar.cell": "cpu"},
    )
    assert DockerEngine().build_image(changed, tag=IMAGE.tag, progress=Silence()) == IMAGE
    (argv,) = seen
    words = " ".join(argv)
    assert words.startswith(
        "docker buildx build --progress plain --target runtime --provenance false --sbom false "
        "--network none --build-arg SOURCE_DATE_EPOCH=7 "
    )
    assert "--annotation cellar.cell=cpu" in words
    assert ("--no-cache" in argv) is cold
    assert f"--build-context a={tmp_path}/a --build-context b={tmp_path}/b" in words
    assert f"type=image,name={IMAGE.tag},compression=zstd,oci-mediatypes=true" in argv
    assert argv[-1] == str(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_failing_step_is_told_with_its_words_and_the_command(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(argv: Sequence[str], on_line: Callable[[str], None]) -> None:
        for line in ("#1 [a 1/1] RUN /x/step", "#1 0.1 words", "#1 ERROR: exit code: 1"):
            on_line(line)
        raise process.ToolError(argv, 1, "a long tail")

    monkeypatch.setattr(process, "stream", stream)
    with pytest.raises(EngineError) as raised:
        DockerEngine().build_files(request_, into=tmp_path / "files", progress=Silence())
    expected = "the build of runtime failed\na 1/1: step: exit code: 1\n  | words"
    assert str(raised.value) == expected
    assert str(raised.value.hint).startswith("run it again by hand: docker buildx build ")
