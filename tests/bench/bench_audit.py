"""The audit's speed and memory beside objdump's and elfx86exts's, in one run.

The wheels are torch 1.9.1, torchvision 0.10.1 and numpy 1.19.5 for Python 3.8 (more than 411 MB of
code). CELLAR_BENCH_WHEELS names a folder that has them; this host's pip fetches what is missing.
Other work on the machine slows all of it, so CPU times stand beside the wall times.
"""

import json
import os
import shutil
import subprocess  # noqa: TID251 - this program measures other programs
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.adapters import environment
from builder.adapters.audit.elf import ElfFile
from builder.adapters.audit.fatbin import SECTIONS, list_device_code
from tests.bench.row import Row

WHEELS = ("torch==1.9.1", "torchvision==0.10.1", "numpy==1.19.5")
PLATFORMS = ("manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64")
IMAGE = "cellar/bevformer:cpu"
OBJDUMP_FILE = "torch/lib/libtorch_cuda.so"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured command."""

    name: str
    megabytes: float
    wall: float
    cpu: float
    peak: float  # MB of resident memory of the whole process tree

    @property
    def speed(self) -> float:
        """Return megabytes of code per second of wall time."""
        return self.megabytes / self.wall


def fetch(folder: Path) -> list[Path]:
    """Return the wheels, fetched by pip where they are missing."""
    found = []
    for requirement in WHEELS:
        name, version = requirement.split("==")
        pattern = f"{name}-{version}-*.whl"
        if not list(folder.glob(pattern)):
            platforms = [word for p in PLATFORMS for word in ("--platform", p)]
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            where = ["--only-binary=:all:", "--python-version", "3.8", "--dest", str(folder)]
            subprocess.run([*pip, *where, *platforms, requirement], check=True)
        found += sorted(folder.glob(pattern))[:1]
    return found


def measure(
    name: str, argv: Sequence[str], megabytes: float, env: Mapping[str, str] | None = None
) -> Run:
    """Run a command and watch the memory of its process tree."""
    before = os.times()
    start = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=env) as child:
        watcher = _Watcher(child.pid)
        watcher.start()
        child.wait()
    wall = time.perf_counter() - start
    watcher.join()
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Run(name=name, megabytes=megabytes, wall=wall, cpu=cpu, peak=watcher.peak)


class _Watcher(threading.Thread):
    """Samples the resident memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.peak = 0.0
        self._pid = pid

    def run(self) -> None:
        while size := _tree_memory(self._pid):
            self.peak = max(self.peak, size / 1e6)
            time.sleep(0.05)


def _tree_memory(root: int) -> int:
    """Return resident bytes of a tree, 0 when its root is gone; shared pages count once each."""
    parents, sizes = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = dict(
                line.split(":\t", 1) for line in (entry / "status").read_text().splitlines()
                if ":\t" in line
            )  # fmt: skip
        except OSError:
            continue
        parents[int(entry.name)] = int(status["PPid"])
        sizes[int(entry.name)] = int(status.get("RssAnon", "0 kB").split()[0]) * 1024
    family = {root} & sizes.keys()
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sizes[pid] for pid in family)


def code_of(folder: Path) -> float:
    """Return megabytes of executable code below a folder, NVIDIA's files left out."""
    argv = [sys.executable, "-m", "builder", "audit", str(folder), "--json"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return sum(float(file["code_bytes"]) for file in json.loads(done.stdout)["files"]) / 1e6


def audits(folder: Path, cache: Path) -> list[Run]:
    """Measure the audit on one and two processes, and once more from its cache."""
    env = {**environment.variables(), "CELLAR_AUDIT_CACHE": str(cache)}
    audit = [sys.executable, "-m", "builder", "audit", str(folder)]
    subprocess.run(["cat", *map(str, folder.rglob("*.so*"))], stdout=subprocess.DEVNULL, check=True)
    megabytes = code_of(folder)
    return [
        measure("cellar audit, 1 process", [*audit, "--no-cache", "--jobs", "1"], megabytes),
        measure("cellar audit, 2 processes", [*audit, "--jobs", "2"], megabytes, env),
        measure("cellar audit, again from its cache", audit, megabytes, env),
    ]


def image_runs(image: str) -> list[Run]:
    """Measure the audit of a local image, unpacking and all; none where Docker has none."""
    shown = ["docker", "image", "inspect", image]
    if (
        not shutil.which("docker")
        or subprocess.run(shown, capture_output=True, check=False).returncode
    ):
        return []
    audit = [sys.executable, "-m", "builder", "audit", image]
    done = subprocess.run([*audit, "--json"], check=True, capture_output=True, text=True)
    megabytes = sum(float(file["code_bytes"]) for file in json.loads(done.stdout)["files"]) / 1e6
    return [
        measure(f"{image}, 1 process", [*audit, "--no-cache", "--jobs", "1"], megabytes),
        measure(f"{image}, 2 processes", [*audit, "--no-cache", "--jobs", "2"], megabytes),
        measure(f"{image}, again from the cache", audit, megabytes),
    ]


def objdump(file: Path) -> Run:
    """Measure what people do instead: objdump and a pattern, on one library."""
    with ElfFile(file) as elf:
        megabytes = sum(section.size for section in elf.code) / 1e6
    script = 'objdump -d "$0" | awk "/\\tv[a-z]/ { n++ } END { print n }"'
    return measure("objdump -d | awk, libtorch_cuda", ["sh", "-c", script, str(file)], megabytes)


def elfx86exts(file: Path) -> Run | None:
    """Measure the one other tool that decodes, where this host has it."""
    if shutil.which("elfx86exts") is None:
        return None
    with ElfFile(file) as elf:
        megabytes = sum(section.size for section in elf.code) / 1e6
    return measure("elfx86exts, libtorch_cuda", ["elfx86exts", str(file)], megabytes)


def device_code(file: Path) -> Run:
    """Measure the listing of fat binaries on a warm file."""
    with ElfFile(file) as elf:
        megabytes = sum(s.size for s in elf.sections if s.name in SECTIONS) / 1e6
    start, cpu = time.perf_counter(), time.process_time()
    with ElfFile(file) as elf:
        list_device_code(elf)
    return Run(
        name="device code listed, libtorch_cuda",
        megabytes=megabytes,
        wall=time.perf_counter() - start,
        cpu=time.process_time() - cpu,
        peak=0,
    )


def rows() -> Iterator[Row]:
    """Yield the audit's figures, each beside what it is compared with."""
    given = environment.variable("CELLAR_BENCH_WHEELS")
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as scratch:
        unpacked = Path(scratch) / "unpacked"
        for wheel in fetch(Path(given or scratch)):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        file = unpacked / OBJDUMP_FILE
        base, other = objdump(file), elfx86exts(file)
        one, two, again = audits(unpacked, Path(scratch) / "cache")
        listed = device_code(file)
    for run in image_runs(IMAGE):
        yield _speed(run, base, None)
        yield Row(what=run.name, ours=run.wall, unit="s")
    for run, goal in ((one, None), (two, 10)):
        yield _speed(run, base, goal)
        if other is not None:
            yield _speed(run, other, None)
        yield _cpu(run, base)
    yield Row(what=f"{two.name}, {two.megabytes:.0f} MB", ours=two.wall, unit="s", goal=20)
    yield Row(what=f"{two.name}, anonymous memory", ours=two.peak, unit="MB", goal=1000)
    yield Row(what=again.name, ours=again.wall, unit="s", goal=2)
    yield Row(what=f"{again.name}, CPU time", ours=again.cpu, unit="s")
    yield Row(what=listed.name, ours=listed.speed, unit="MB/s", goal=1000, at_least=True)


def _speed(run: Run, base: Run, goal: float | None) -> Row:
    return Row(
        what=f"{run.name}, speed",
        ours=run.speed,
        unit="MB/s",
        against=base.name,
        theirs=base.speed,
        goal=goal,
        at_least=True,
    )


def _cpu(run: Run, base: Run) -> Row:
    return Row(
        what=f"{run.name}, code per CPU second",
        ours=run.megabytes / run.cpu,
        unit="MB/s",
        against=base.name,
        theirs=base.megabytes / base.cpu,
    )
