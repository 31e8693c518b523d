"""pip-compile, run inside a cell's own base: its Python and its glibc choose the versions."""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import as_file
from importlib.resources import files as package_files
from itertools import takewhile
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self

from builder.adapters import environment, process
from builder.adapters.locking.host_pip import HOME, HostPip
from builder.domain.version import PythonVersion
from builder.errors import CellarError, DataError, EngineError, NetworkError

# From here on today's pip and pip-tools run; below it their last releases for Python 3.9.
_OLDEST = PythonVersion(3, 10)

_INPUT = PurePosixPath("/cellar/in")
_TOOLS = PurePosixPath("/cellar/tools")

# Only wheels: a resolver that meets an sdist runs its setup.py, a stranger's code, to learn what
# it asks for. The sdists of a cell are declared in the matrix, and compiled without network.
#
# No hashes: where an index has no JSON of pip-tools' liking, it brings every file of every platform
# to hash it (812 files for the cpu cell). The index states them, and one file of each is kept.
_OPTIONS = (
    *("--no-config", "--allow-unsafe", "--strip-extras"),
    *("--no-header", "--no-emit-options", "--annotation-style=split"),
    # fast-deps reads the metadata of a wheel, not all of it, where the index takes ranges.
    "--pip-args=--only-binary=:all: --use-feature=fast-deps --disable-pip-version-check",
)
_SAID = "pip-compile.log"
_UNREACHABLE = (
    *("Failed to establish", "ConnectionError", "NameResolutionError", "timed out"),
    *("Max retries", "SSLError", "ProxyError", "Unauthorized", "not a trusted or secure host"),
)
_VERSIONS = re.compile(r" \(from versions: (?!none)[^)]*\)")  # hundreds of them


class Base(Protocol):
    """A container of the cell's base, with a network."""

    def __call__(self, argv: Sequence[str], mounts: Mapping[Path, PurePosixPath]) -> str:
        """Run `argv` in a fresh container and return its stdout."""
        ...


class PipTools:
    """pip-compile in a base, with the host's pip configuration lent to it; a context manager."""

    def __init__(
        self, base: Base, *, python: PythonVersion, host: HostPip, not_after: str = ""
    ) -> None:
        self._base = base
        self._python = python
        self._host = host
        self._fence = (f"--uploaded-prior-to={not_after}",) if not_after else ()
        self._work = Path(tempfile.mkdtemp(prefix="cellar-lock-"))

    def __enter__(self) -> Self:
        (self._work / "host").mkdir()
        (self._work / "in").mkdir()
        self._mounts = {
            **self._host.lend(self._work / "host"),
            self._work / "in": _INPUT,
            self._install_tools(): _TOOLS,
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._work, ignore_errors=True)

    def compile(self, layer: str, requirements: str, constraints: str) -> str:
        """Return what pip-compile pins for `requirements` under `constraints` (network).

        What no set of versions satisfies is a DataError, an index that does not answer a
        NetworkError.
        """
        (self._work / "in" / f"{layer}.in").write_text(requirements)
        (self._work / "in" / "constraints.txt").write_text(constraints)
        command = (
            f". /cellar/host/environment && cd {_INPUT} && PYTHONPATH={_TOOLS} "
            f'exec python{self._python} -m piptools compile "$@" >"$HOME/{_SAID}" 2>&1'
        )
        output = f"{layer}.txt"
        arguments = [*_OPTIONS, *self._fence, f"--output-file={HOME}/{output}"]
        arguments += ["--constraint=constraints.txt", f"{layer}.in"]
        try:
            self._base(["sh", "-c", command, "pip-compile", *arguments], self._mounts)
        except EngineError as error:
            raise _explained(layer, self._written(_SAID), str(error)) from error
        return self._written(output)

    def _written(self, name: str) -> str:
        path = self._work / "host" / "home" / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def _install_tools(self) -> Path:
        """Bring pip-tools itself, by hash, as plain files for the base's Python."""
        target = self._work / "tools"
        name = "locktools.txt" if self._python >= _OLDEST else "locktools-3.9.txt"
        with as_file(package_files("builder") / "data" / name) as pinned:
            argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
            argv += ["--disable-pip-version-check", "--target", str(target), "--require-hashes"]
            argv += ["--python-version", str(self._python), "--only-binary=:all:"]
            try:
                process.run([*argv, "-r", str(pinned)], env=environment.variables())
            except process.ToolError as error:
                message = f"pip-tools itself cannot be had: {_reason(error.tail) or error.tail}"
                raise NetworkError(message, hint="check this host's pip configuration") from error
        return target


def _explained(layer: str, said: str, ended: str) -> CellarError:
    """Turn what pip-compile said into one line: what nobody serves, what contradicts what.

    Where it complained of nothing, the way it `ended` is told.
    """
    reason = _reason(said)
    if not reason:
        return EngineError(f"layer {layer}: pip-compile was stopped: {ended}")
    if any(sign in said for sign in _UNREACHABLE):
        message = f"layer {layer}: a package index does not answer; {reason}"
        return NetworkError(message, hint="check this host's pip configuration and its proxy")
    message = f"requirements/{layer}.in: no set of versions fits: {reason}"
    hint = "loosen the list or the cell's pins; only wheels count, up to the day in image.yaml"
    return DataError(message, hint=hint)


def _reason(said: str) -> str:
    """Return pip's account of a conflict, or its errors, or else the last thing that it said."""
    _, found, rest = said.partition("The conflict is caused by:")
    if found:
        told = takewhile(str.strip, rest.lstrip("\n").splitlines())
        return "; ".join(line.strip() for line in told)
    lines = [line.strip() for line in _VERSIONS.sub("", said).splitlines() if line.strip()]
    errors = [
        line.removeprefix("ERROR: ")
        for line in lines
        if line.startswith("ERROR: ") and "Ignored the following" not in line
    ]
    if errors:
        return "; ".join(dict.fromkeys(errors))
    raised = re.findall(r"^[\w.]+(?:Error|NotFound|Impossible): (.*)", said, re.MULTILINE)
    return str(raised[-1]) if raised else ""
