"""Workloads of an unpacked image under qemu-user, children too, in namespaces of their own."""

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from iced_x86 import Decoder, Formatter, FormatterSyntax

from builder.adapters import process
from builder.adapters.audit.code_map import read_code_map
from builder.adapters.audit.elf import ElfError, ElfFile
from builder.adapters.proof import rootfs
from builder.adapters.proof.qemu_core import SIGILL, read_core
from builder.domain.cpu_model import cpuinfo, flags
from builder.domain.proof import Ending, FaultSite, Outcome, Workload
from builder.errors import HostError, VerificationError

PROGRAM = "qemu-x86_64-static"
_TAIL_LINES = 20
_TIMED_OUT = (124, 137, -9)  # the last: `timeout` sends KILL to its own group, itself among it
_NOISE = re.compile(r"TCG doesn't support requested feature|NNPACK|qemu: uncaught target signal")
_PYTHON_LINE = re.compile(r'  File "(.+)", line (\d+) in (.+)')
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What is mounted is seen by the workload only: the namespace ends with it.
_ENTER = """
set -e
root=$1; shift
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount --rbind /proc "$root/proc"
mount --bind "$root/.cellar/cpuinfo" "$root/proc/cpuinfo"
mount --rbind /dev "$root/dev"
ulimit -c unlimited
cd "$root/.cellar/run"
exec "$CELLAR_CHROOT" "$root" /.cellar/sh -c \
  'unset CELLAR_CHROOT; cd /.cellar/run && exec "$@" >stdout 2>stderr </dev/null' sh "$@"
"""


def emulator() -> Path:
    """Return qemu's path; a host without it is a HostError."""
    found = shutil.which(PROGRAM)
    if found is None:
        message = f"{PROGRAM} is not installed"
        raise HostError(message, hint="apt-get install qemu-user-static")
    return Path(found)


def version() -> str:
    """Return qemu's own first line."""
    return process.run([str(emulator()), "--version"]).splitlines()[0]


def models() -> tuple[str, ...]:
    """Return the CPU models that qemu knows."""
    lines: list[str] = []
    with suppress(process.ToolError):  # qemu 7.2 prints the list and ends with 1
        process.stream([str(emulator()), "-cpu", "help"], lines.append)
    return tuple(match[1] for line in lines if (match := re.match(r"x86 (\S+)", line)))


class EmulatedImage:
    """One unpacked image whose programs run under one CPU model."""

    def __init__(self, root: Path, model: str, environment: Mapping[str, str]) -> None:
        self._root = root.resolve()
        self._environment = {"PATH": _PATH, "HOME": "/root", **environment}
        rootfs.emulate(self._root, emulator(), model)
        (self._run / "probe.py").write_text(
            files("builder").joinpath("data", "cpuid_probe.txt").read_text("utf-8")
        )
        self._write_cpuinfo(model, ())
        self.features = self._probe()
        self._write_cpuinfo(model, self.features)

    @property
    def _run(self) -> Path:
        return self._root / rootfs.OWN / "run"

    def _write_cpuinfo(self, model: str, features: Sequence[str]) -> None:
        (self._root / rootfs.OWN / "cpuinfo").write_text(cpuinfo(model, features))

    def _probe(self) -> tuple[str, ...]:
        """Ask the emulated CPU what it is, in a program and in its child: both must agree."""
        code, _ = self._start(("python3", "/.cellar/run/probe.py"), {}, 300)
        text = (self._run / "stdout").read_text("utf-8", "replace")
        if code:
            message = f"the image's python3 does not run under this CPU: {self._tail()}"
            raise VerificationError(message, hint="try a higher level, or audit the image first")
        own, child = json.loads(text)
        if own != child:
            message = "children of an emulated program escape the emulator on this host"
            raise VerificationError(message, hint="the proof would be worthless; report this")
        return flags(own)

    def run(self, workload: Workload, *, limit: int) -> Outcome:
        """Run one workload for `limit` seconds at most, and tell where the CPU refused.

        `explain` adds to such an outcome what stands there.
        """
        for core in self._cores():
            core.unlink()
        code, seconds = self._start(workload.argv, {}, limit)
        crashes = [crash for core in self._cores() for crash in [read_core(core)] if crash]
        refused = [crash for crash in crashes if crash.signal == SIGILL]
        tail = self._tail()
        ending = Ending.PASSED if code == 0 else Ending.FAILED
        if code in _TIMED_OUT:
            ending = Ending.TIMEOUT
        sites: tuple[FaultSite, ...] = ()
        if refused:
            ending = Ending.SIGILL
            sites = tuple(
                FaultSite(library=crash.library, address=crash.address - crash.base)
                for crash in refused
            )
        return Outcome(
            workload=workload,
            ending=ending,
            seconds=seconds,
            sites=sites,
            tail="" if ending is Ending.PASSED else tail,
        )

    def explain(self, outcome: Outcome, *, limit: int) -> Outcome:
        """Name function, instruction and Python lines of what the CPU refused."""
        if not outcome.sites:
            return outcome
        lines = self._python_lines(outcome.workload, limit)
        sites = tuple(self._named(site, lines) for site in outcome.sites)
        return replace(outcome, sites=sites)

    def _start(self, argv: Sequence[str], more: Mapping[str, str], limit: int) -> tuple[int, float]:
        unshare, timeout, chroot = (_tool(name) for name in ("unshare", "timeout", "chroot"))
        enter = [unshare, "--map-root-user", "--mount", "--net", "/bin/sh", "-c", _ENTER, "sh"]
        whole = [timeout, "--signal=KILL", str(limit), *enter, str(self._root), *argv]
        began = time.monotonic()
        try:
            process.run(whole, env={**self._environment, **more, "CELLAR_CHROOT": chroot})
            code = 0
        except process.ToolError as error:
            code = error.code
            if not (self._run / "stderr").exists():
                hint = "namespaces must be allowed: run as root, or allow user namespaces"
                message = f"the image cannot be entered: {error.tail}"
                raise HostError(message, hint=hint) from error
        return code, time.monotonic() - began

    def _cores(self) -> list[Path]:
        return sorted(path for path in self._run.rglob("*.core") if path.is_file())

    def _tail(self) -> str:
        text = (self._run / "stderr").read_text("utf-8", "replace")
        lines = [line for line in text.splitlines() if not _NOISE.search(line)]
        return "\n".join(lines[-_TAIL_LINES:])

    def _python_lines(self, workload: Workload, limit: int) -> tuple[str, ...]:
        """Run it once more with Python's fault handler, which would hide the instruction."""
        self._start(workload.argv, {"PYTHONFAULTHANDLER": "1"}, limit)
        text = (self._run / "stderr").read_text("utf-8", "replace")
        return tuple(
            f"{match[1]}:{match[2]} in {match[3]}"
            for match in _PYTHON_LINE.finditer(text)
            if not match[1].startswith("<frozen importlib")
        )

    def _named(self, site: FaultSite, lines: tuple[str, ...]) -> FaultSite:
        if not site.library:
            return replace(site, python=lines)
        path = rootfs.inside(self._root, site.library)
        function, instruction = _describe(path, site.address)
        return replace(site, function=function, instruction=instruction, python=lines)


def _describe(path: Path, address: int) -> tuple[str, str]:
    """Name the function at an address of a library, and write out the instruction there."""
    try:
        with ElfFile(path) as elf:
            code = read_code_map(elf)
            place = code.around(address)
            row = int(code.functions.rows[place]) if place >= 0 else -1
            name = ""
            if row >= 0:
                offset = code.symbols.names_at + int(code.symbols.rows["name"][row])
                name = elf.text_at(offset)
            formatter = Formatter(FormatterSyntax.GAS)
            found = next(iter(Decoder(64, elf.bytes_at(address, 15), ip=address)), None)
            text = " ".join(formatter.format(found).split()) if found else ""
            return name, text
    except ElfError:
        return "", ""


def _tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        message = f"{name} is not installed"
        raise HostError(message, hint="apt-get install util-linux coreutils")
    return found
