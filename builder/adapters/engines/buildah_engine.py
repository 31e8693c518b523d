"""buildah: builds the same Dockerfile without a daemon, under runc or in a chroot."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packaging.version import Version

from builder.adapters import environment, process
from builder.adapters.engines import oci
from builder.adapters.engines.build_log import BuildahLines, BuildSteps
from builder.domain.engine import BuildRequest, RunOptions
from builder.domain.image import ImageRef
from builder.domain.progress import Progress
from builder.errors import EngineError, HostError

# 1.28 is Debian 12's; 1.26 brought named contexts.
MINIMUM = Version("1.26")

_INSTALL = "`cellar host --engine buildah --install` installs it on Debian or Ubuntu"
_FOUND = re.compile(r"buildah version (\S+)")


class BuildahEngine:
    """The buildah of this host, with its own image storage."""

    name = "buildah"

    def version(self) -> str:
        """Return the versions of buildah and of what runs its steps, after checking both."""
        try:
            found = _FOUND.match(process.run(["buildah", "--version"]))
        except HostError as error:
            message = "buildah is not installed"
            raise EngineError(message, hint=_INSTALL) from error
        version = found[1] if found else "0"
        if Version(version) < MINIMUM:
            message = f"buildah {version} is too old, {MINIMUM} is the first that serves"
            raise EngineError(message, hint=_INSTALL)
        if _isolation() == "oci" and shutil.which("runc") is None:
            message = "buildah has no runc to run its steps"
            raise EngineError(message, hint="install runc, or set BUILDAH_ISOLATION=chroot")
        return f"buildah {version}, {'runc' if _isolation() == 'oci' else 'chroot'}"

    def build_image(self, request: BuildRequest, *, tag: str, progress: Progress) -> ImageRef:
        """Build an image into buildah's storage under `tag`, and return its digest."""
        _build(request, tag, progress)
        built = self.find(tag)
        assert built is not None  # noqa: S101 - buildah has just named it
        return built

    def build_files(self, request: BuildRequest, *, into: Path, progress: Progress) -> None:
        """Build a target and write its files into the directory `into`."""
        tag = f"localhost/cellar/files:{request.target}"
        _build(request, tag, progress)
        shutil.rmtree(into, ignore_errors=True)
        try:
            with _container(tag) as container:
                mounted = _buildah("mount", container)
                shutil.copytree(mounted, into, symlinks=True)
        finally:
            self.remove(tag)

    def find(self, tag: str) -> ImageRef | None:
        """Return what `tag` names in buildah's storage, or None."""
        form = "{{.FromImageDigest}}"
        try:
            digest = process.run(["buildah", "inspect", "--type", "image", "--format", form, tag])
        except process.ToolError:
            return None
        return ImageRef(tag=tag, digest=digest.strip())

    def remove(self, tag: str) -> None:
        """Take the name `tag` from its image, and with the last name its space."""
        _buildah("rmi", tag)

    def run(self, image: ImageRef, argv: Sequence[str], options: RunOptions) -> str:
        """Run `argv` in a fresh container, removed whatever happens, and return its stdout."""
        if options.read_only:
            message = "buildah starts no container with a read-only root"
            raise EngineError(message, hint="verify the image with --engine docker")
        with _container(image.tag) as container:
            command = [*_run_command(options), container, "--", *argv]
            try:
                return process.run(command)
            except process.ToolError as error:
                message = f"{shlex.join(argv)} ended with exit code {error.code} in {image.tag}:\n"
                message += error.tail
                hint = f"by hand: buildah from {image.tag}, then {shlex.join(command)}"
                raise EngineError(message, hint=hint) from error

    def save(self, image: ImageRef, *, into: Path) -> None:
        """Write `image` as an OCI layout into the new directory `into`."""
        into.parent.mkdir(parents=True, exist_ok=True)
        _buildah("push", "--quiet", image.tag, f"oci:{into}:latest")


def _build(request: BuildRequest, tag: str, progress: Progress) -> None:
    folder = request.dockerfile.parent
    empty = folder / "empty"  # every input is a named context
    empty.mkdir(exist_ok=True)
    with _short_paths(request.contexts) as contexts:
        argv = [*_isolated(), "buildah", "build", "--network", "none", "--format", "oci"]
        argv += ["--target", request.target, "--tag", tag, "--timestamp", str(request.epoch)]
        argv += ["--identity-label=false"]
        argv += ["--isolation", _isolation(), *_RUNTIME]
        for name, value in request.arguments.items():
            argv += ["--build-arg", f"{name}={value}"]
        for name, value in sorted(request.annotations.items()):
            argv += ["--annotation", f"{name}={value}"]
        # Its cache does not look into what a bind mount holds, so nothing is taken from it.
        argv += ["--layers=false", "--no-cache"]
        for name, where in sorted(contexts.items()):
            argv += ["--build-context", f"{name}={where}"]
        argv += ["--file", str(_without_run_network(request.dockerfile)), str(empty)]
        steps = BuildSteps(progress)
        lines = BuildahLines(steps)
        try:
            with steps.beating():
                process.stream(argv, lines.take)
        except process.ToolError as error:
            if lines.current:
                steps.fail(lines.current, f"exit code {error.code}")
            message = f"the build of {request.target} failed\n{steps.failure or error.tail}"
            hint = steps.remedy or f"by hand: {shlex.join(argv)}"
            raise EngineError(message, hint=hint) from error


# crun 1.8, which buildah would prefer, refuses hosts with hybrid cgroups.
_RUNTIME = ["--runtime", "runc"]


def _isolation() -> str:
    return environment.variable("BUILDAH_ISOLATION", "oci")


def _isolated() -> list[str]:
    # A chroot shares its starter's network, so the starter gets an empty one.
    return ["unshare", "--net"] if _isolation() == "chroot" else []


def _without_run_network(dockerfile: Path) -> Path:
    # `RUN --network` is newer than Debian 12's buildah; `build --network none` covers every RUN.
    path = dockerfile.with_name("Dockerfile.buildah")
    path.write_text(dockerfile.read_text().replace("RUN --network=none ", "RUN "))
    return path


@contextmanager
def _short_paths(contexts: Mapping[str, Path]) -> Iterator[Mapping[str, str]]:
    """Name OCI layouts by paths that are valid image names, which buildah takes them for."""
    with tempfile.TemporaryDirectory(prefix="cellar") as folder:
        root = Path(folder)
        plain = root.rename(root.with_name(f"cellar{root.stat().st_ino}"))
        try:
            named = {}
            for name, path in contexts.items():
                named[name] = str(path)
                if (path / oci.MARK).is_file():
                    (plain / name).symlink_to(path)
                    named[name] = f"container-image://oci:{plain / name}"
            yield named
        finally:
            for layout in plain.iterdir():
                _remove_image(f"localhost{layout}")
            plain.rename(root)


def _remove_image(name: str) -> None:
    with suppress(process.ToolError):  # a build that failed early has not pulled it
        process.run(["buildah", "rmi", name])


@contextmanager
def _container(tag: str) -> Iterator[str]:
    container = _buildah("from", "--pull-never", tag)
    try:
        yield container
    finally:
        _buildah("rm", container)


def _buildah(*words: str) -> str:
    try:
        return process.run(["buildah", *words]).strip()
    except process.ToolError as error:
        last = error.tail.splitlines()[-1] if error.tail else f"exit code {error.code}"
        message = f"buildah {words[0]} refused: {last}"
        raise EngineError(message, hint=error.hint) from error


def _run_command(options: RunOptions) -> list[str]:
    words = [*_isolated(), "buildah", "run", "--isolation", _isolation(), *_RUNTIME]
    words += ["--network", "host" if options.network else "none"]
    words += ["--user", options.user] if options.user else []
    for place in options.tmpfs:
        words += ["--mount", f"type=tmpfs,destination={place}"]
    for path, place in options.mounts.items():
        mode = "rw" if place in options.writable else "ro"
        words += ["--volume", f"{path}:{place}:{mode}"]
    return words
