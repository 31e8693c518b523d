"""Docker: builds through buildx with BuildKit, everything else through the Docker SDK."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container
from packaging.version import Version
from requests import RequestException

from builder.adapters import process
from builder.adapters.archives.unpack import unpack_tar
from builder.adapters.engines.build_log import BuildSteps, take_buildkit
from builder.adapters.engines.oci import context_of
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.domain.progress import Progress
from builder.errors import EngineError, HostError

# 25 is the first release whose containerd image store builds from OCI layouts and keeps digests.
MINIMUM = Version("25.0")

_INSTALL = "`cellar host --engine docker --install` installs and starts it on Debian or Ubuntu"
_RIGHTS = "run as root, or as a user of the group that owns Docker's socket"
_CONTAINERD_STORE = (
    'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart it'
)
_COMPRESSION = "compression=zstd,oci-mediatypes=true"
_TAIL = 20


class DockerEngine:
    """The Docker daemon that the environment names."""

    name = "docker"

    def version(self) -> str:
        """Return Docker's and buildx's versions, after checking all that Cellar needs."""
        with _refusals():
            server, info = self._client.version(), self._client.info()
        if Version(_release(server["Version"])) < MINIMUM:
            message = f"Docker {server['Version']} is too old, {MINIMUM} is the first that serves"
            raise EngineError(message, hint=_INSTALL)
        if "io.containerd.snapshotter.v1" not in str(info.get("DriverStatus")):
            message = "Docker keeps images without the containerd image store, so without digests"
            raise EngineError(message, hint=_CONTAINERD_STORE)
        return f"docker {server['Version']}, {_buildx()}"

    def build_image(self, request: BuildRequest, *, tag: str, progress: Progress) -> ImageRef:
        """Build an image into the image store, unpacked, under `tag`; return its digest."""
        with TemporaryDirectory() as folder:
            metadata = Path(folder) / "metadata.json"
            output = f"type=image,name={tag},{_COMPRESSION}"
            _build(request, ["--output", output, "--metadata-file", str(metadata)], progress)
            digest = json.loads(metadata.read_text())["containerimage.digest"]
        return ImageRef(tag=tag, digest=digest)

    def build_files(self, request: BuildRequest, *, into: Path, progress: Progress) -> None:
        """Build a target and write its files into the directory `into`."""
        _build(request, ["--output", f"type=local,dest={into}"], progress)

    def find(self, tag: str) -> ImageRef | None:
        """Return what `tag` names in the image store, or None."""
        with _refusals():
            try:
                found = self._client.images.get(tag)
            except ImageNotFound:
                return None
        return ImageRef(tag=tag, digest=str(found.id))

    def remove(self, tag: str) -> None:
        """Take the name `tag` from its image, and with the last name its space."""
        with _refusals():
            self._client.images.remove(tag)

    def run(self, image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
        """Run `argv` in a fresh container, removed whatever happens, and return its stdout."""
        with self._container(image, argv, options) as container:
            container.start()
            code = int(container.wait()["StatusCode"])
            output = container.logs(stdout=True, stderr=False).decode(errors="replace")
            if code:
                words = container.logs().decode(errors="replace").splitlines()[-_TAIL:]
                message = f"{shlex.join(argv)} ended with exit code {code} in {image.tag}:\n"
                raise EngineError(message + "\n".join(words), hint=_by_hand(image, argv, options))
        return output

    @contextmanager
    def lasting(self, image: ImageRef) -> Iterator[str]:
        """Give the name of a container that does nothing as long as the block runs."""
        with self._container(image, ["sleep", "infinity"], RunOptions()) as container:
            container.start()
            yield str(container.name)

    def save(self, image: ImageRef, *, into: Path) -> None:
        """Write `image` as an OCI layout into the new directory `into`."""
        into.parent.mkdir(parents=True, exist_ok=True)
        with _refusals(), TemporaryFile(dir=into.parent) as file:
            for chunk in self._client.images.get(image.tag).save(chunk_size=1 << 22):
                file.write(chunk)
            file.seek(0)
            unpack_tar(file, into)

    @cached_property
    def _client(self) -> docker.DockerClient:
        try:
            client = docker.from_env()
            client.ping()
        except (DockerException, APIError) as error:
            cause = _cause(error)
            message = f"Docker does not answer: {cause}"
            hint = _RIGHTS if "Permission denied" in cause else _INSTALL
            raise EngineError(message, hint=hint) from error
        return client

    @contextmanager
    def _container(
        self, image: ImageRef, argv: Sequence[str], options: RunOptions
    ) -> Iterator[Container]:
        with _refusals():
            container = self._client.containers.create(
                image.digest,
                list(argv),
                user=options.user or None,
                read_only=options.read_only,
                tmpfs=dict.fromkeys(options.tmpfs, ""),
                network_mode="bridge" if options.network else "none",
                volumes={
                    str(path): {"bind": place, "mode": "rw" if place in options.writable else "ro"}
                    for path, place in options.mounts.items()
                },
            )
            try:
                yield container
            finally:
                container.remove(force=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever the daemon refuses into an EngineError of one line."""
    try:
        yield
    except (DockerException, RequestException) as error:
        message = f"Docker refused: {_cause(error)}"
        raise EngineError(message, hint="`docker info` tells whether the daemon is well") from error


def _build(request: BuildRequest, output: Sequence[str], progress: Progress) -> None:
    empty = request.dockerfile.parent / "empty"  # every input is a named context
    empty.mkdir(exist_ok=True)
    argv = ["docker", "buildx", "build", "--progress", "plain", "--target", request.target]
    argv += ["--provenance", "false", "--sbom", "false", "--network", "none"]
    for name, value in request.arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(request.annotations.items()):
        argv += ["--annotation", f"{name}={value}"]
    argv += ["--no-cache"] if request.cold else []
    for name, path in sorted(request.contexts.items()):
        argv += ["--build-context", f"{name}={context_of(path)}"]
    argv += [*output, "--file", str(request.dockerfile), str(empty)]
    steps = BuildSteps(progress)
    try:
        with steps.beating():
            process.stream(argv, partial(take_buildkit, steps))
    except process.ToolError as error:
        message = f"the build of {request.target} failed\n{steps.failure or error.tail}"
        by_hand = f"run it again by hand: {shlex.join(argv)}"
        raise EngineError(message, hint=steps.remedy or by_hand) from error


def _buildx() -> str:
    try:
        found = process.run(["docker", "buildx", "inspect"])
        version = process.run(["docker", "buildx", "version"]).split()
    except (HostError, process.ToolError) as error:
        message = "the docker command lacks buildx"
        raise EngineError(message, hint=_INSTALL) from error
    drivers = [line.split()[1] for line in found.splitlines() if line.startswith("Driver:")]
    if drivers != ["docker"]:
        message = f"buildx builds with the driver {', '.join(drivers)}, outside of Docker's images"
        raise EngineError(message, hint="`docker buildx use default`")
    return f"buildx {version[1]}"


def _release(version: str) -> str:
    match = re.match(r"\d+(\.\d+)*", version)
    return match[0] if match else "0"


def _cause(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error).splitlines()[0]


def _by_hand(image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
    words = ["docker", "run", "--rm", "--network", "bridge" if options.network else "none"]
    words += ["--user", options.user] if options.user else []
    words += ["--read-only"] if options.read_only else []
    for place in options.tmpfs:
        words += ["--tmpfs", place]
    for path, place in options.mounts.items():
        words += ["--volume", f"{path}:{place}"]
    return f"run it again by hand: {shlex.join([*words, image.tag, *argv])}"
