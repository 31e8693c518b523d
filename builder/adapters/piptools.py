"""pip-compile, run inside a cell's own base: its Python and its glibc choose the versions."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import as_file
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self

from builder.adapters import environment, process
from builder.adapters.host_pip import HostPip
from builder.domain.version import PythonVersion
from builder.errors import CellarError, DataError, EngineError, NetworkError

_INPUT = PurePosixPath("/cellar/in")
_TOOLS = PurePosixPath("/cellar/tools")

# Only wheels: a resolver that meets an sdist runs its setup.py, a stranger's code, to learn what
# it asks for. The sdists of a cell are declared in the matrix, and compiled without network.
#
# No hashes: where an index has no JSON of pip-tools' liking, it brings every file of every platform
# to hash it (812 files for the cpu cell). The index states them, and one file of each is kept.
_OPTIONS = (
    *("--quiet", "--no-config", "--allow-unsafe", "--strip-extras"),
    *("--no-header", "--no-emit-options", "--annotation-style=split", "--output-file=-"),
    # fast-deps reads the metadata of a wheel, not all of it, where the index takes ranges.
    "--pip-args=--only-binary=:all: --use-feature=fast-deps --disable-pip-version-check",
)


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
            f'exec python{self._python} -m piptools compile "$@"'
        )
        arguments = [*_OPTIONS, *self._fence, "--constraint=constraints.txt", f"{layer}.in"]
        try:
            return self._base(["sh", "-c", command, "pip-compile", *arguments], self._mounts)
        except (process.ToolError, EngineError) as error:
            raise _explained(layer, str(error)) from error

    def _install_tools(self) -> Path:
        """Bring pip-tools itself, by hash, as plain files for the base's Python."""
        target = self._work / "tools"
        with as_file(package_files("builder") / "data" / "locktools.txt") as pinned:
            argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
            argv += ["--disable-pip-version-check", "--target", str(target), "--require-hashes"]
            argv += ["--python-version", str(self._python), "--only-binary=:all:"]
            try:
                process.run([*argv, "-r", str(pinned)], env=environment.variables())
            except process.ToolError as error:
                message = f"pip-tools itself cannot be had: {_last_line(error.tail)}"
                raise NetworkError(message, hint="check this host's pip configuration") from error
        return target


def _explained(layer: str, said: str) -> CellarError:
    reason = _last_line(said)
    if any(word in said for word in ("ConnectionError", "NewConnectionError", "timed out")):
        message = f"{layer}: the package index does not answer"
        return NetworkError(message, hint="check this host's pip configuration")
    message = f"requirements/{layer}.in: pip-compile finds no set of versions: {reason}"
    return DataError(message, hint="loosen the list, or the cell's pins in matrix.yaml")


def _last_line(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR:")]
    return (told or lines or ["no reason given"])[-1].removeprefix("ERROR: ")
