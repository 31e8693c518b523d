"""Measure what indexing and reading archives costs, and how it grows: one process for each row.

    python tools/measure_index.py FOLDER

makes tars of more and more files, and .tgz of more and more bytes (that do not compress, as JPEGs),
in FOLDER (needs 6 GB), and prints for each the seconds and the peak memory of making its index, the
size of the index, and the peak memory of a second process that opens it and reads 50
samples of six cameras in time order. The last row is the largest .tgz under ten names at once.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import List

from bevformer_eval.data.tars import TarSource

CASES = (  # name, files, bytes of each, archives
    ("files-100k.tar", 100_000, 16, 1),
    ("files-300k.tar", 300_000, 16, 1),
    ("files-1000k.tar", 1_000_000, 16, 1),
    ("bytes-1g.tgz", 8_000, 1 << 17, 1),
    ("bytes-3g.tgz", 24_000, 1 << 17, 1),
    ("bytes-3g.tgz", 24_000, 1 << 17, 10),
)
NAME = "samples/CAM_{}/n015-2018-07-24-11-22-45+0800__CAM_FRONT_RIGHT__{:016d}.jpg"
CAMERAS = 6
SAMPLES = 50


def make(path: Path, files: int, size: int) -> None:
    """Write an archive of `files` files of `size` random bytes under names as long as nuScenes'."""
    if path.exists():
        return
    content = os.urandom(size)
    draft = path.with_name("draft" + path.suffix)
    gz = {"mode": "w:gz", "compresslevel": 1} if path.suffix == ".tgz" else {"mode": "w"}
    with tarfile.open(draft, **gz) as tar:
        for number in range(files):
            entry = tarfile.TarInfo(NAME.format(number * CAMERAS // files, number))
            entry.size = size
            tar.addfile(entry, io.BytesIO(content))
    draft.replace(path)


def _peak() -> int:
    """Return this program's own peak memory in MB; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) // 1024


def measure(paths: List[Path], index: Path, files: int) -> None:
    """Open archives, read some files if they were indexed before, and print what it took."""
    before = any(index.glob("*.sqlite"))
    start = time.perf_counter()
    source = TarSource(paths, index)
    opened = time.perf_counter() - start
    if before:
        for number in range(SAMPLES * len(paths)):
            # Every archive holds the same names: one after the other is the first that is asked.
            if number % SAMPLES == 0:
                source._members.append(source._members.pop(0))  # noqa: SLF001
            for camera in range(CAMERAS):
                first = -(-camera * files // CAMERAS)
                with source.open(NAME.format(camera, first + number % SAMPLES)) as stream:
                    stream.read()
    total = time.perf_counter() - start
    peak = _peak()
    found = {"open": opened, "read": (total - opened) / (SAMPLES * len(paths)), "peak": peak}
    sys.stdout.write(json.dumps(found) + "\n")


def main(folder: Path) -> None:
    """Print one row for each case."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(
        "archives           GiB    files  index s  peak MB  index MB  read peak MB  ms/sample\n"
    )
    for name, files, size, count in CASES:
        path, index = folder / name, folder / f"{name}.{count}.index"
        make(path, files, size)
        paths = [folder / f"{number}-{name}" for number in range(count)]
        for link in paths:
            if not link.exists():
                os.link(path, link)
        words = [sys.executable, __file__, str(index), str(files), *map(str, paths)]
        first, second = (
            json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603
            for _ in range(2)
        )
        disk = sum(file.stat().st_size for file in index.glob("*.sqlite")) / 1e6
        sys.stdout.write(
            f"{count:>2} {name:<14}{count * path.stat().st_size / 2**30:>5.2f}{count * files:>9}"
            f"{first['open']:>9.1f}{first['peak']:>9}{disk:>10.1f}{second['peak']:>14}"
            f"{1000 * second['read']:>11.1f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:
        measure([Path(word) for word in sys.argv[3:]], Path(sys.argv[1]), int(sys.argv[2]))
