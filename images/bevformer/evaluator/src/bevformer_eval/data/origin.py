"""Opens the data that the options name: a directory, archives, or synthetic scenes made now."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import List, Sequence

from bevformer_eval.data.source import DirectorySource, Source
from bevformer_eval.errors import DataError
from bevformer_eval.output import say, storage_errors

_ARCHIVES = (".tgz", ".tar", ".tar.gz", ".zip")


def open_data(paths: Sequence[Path], work_dir: Path) -> Source:
    """Return the source for --data: one directory, or archives (a directory may hold them)."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or directory", "check --data")
    if (
        len(paths) == 1
        and paths[0].is_dir()
        and (any(paths[0].glob("v1.0-*")) and not archives(paths))
    ):
        return DirectorySource(paths[0])
    found = archives(paths)
    if found:
        from bevformer_eval.data.tars import TarSource

        return TarSource(found, work_dir / "index")
    if len(paths) == 1:
        return DirectorySource(paths[0])
    raise DataError(
        f"{', '.join(map(str, paths))}: neither one nuScenes directory nor its archives",
        "name the root that holds v1.0-trainval or v1.0-mini, or the tars and can_bus.zip",
    )


def archives(paths: Sequence[Path]) -> List[Path]:
    """Return the archives among the paths, and those in directories that hold no unpacked ones."""
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
        elif not any(inside.is_dir() for inside in path.glob("v1.0-*")):
            found.extend(sorted(inside for inside in path.iterdir() if is_archive(inside)))
    return found


def is_archive(path: Path) -> bool:
    """Say whether the name is one of nuScenes' downloads."""
    return (
        path.is_file()
        and path.name.endswith(_ARCHIVES)
        and path.name.startswith(("v1.0-", "can_bus"))
    )


def synthesize(work_dir: Path, seed: int, scenes: int, samples: int) -> Source:
    """Return seeded scenes, written below the work directory once and used again after that."""
    from bevformer_eval.data.synthetic import write_scenes

    root = work_dir / f"synthetic-{seed}-{scenes}x{samples}"
    if not root.is_dir():
        if scenes > 0 and samples > 0:
            say(f"writing {scenes * samples} synthetic samples to {root}")
        draft = root.with_name(f"{root.name}.{os.getpid()}.tmp")
        with storage_errors(root):
            write_scenes(draft, seed, scenes, samples)
            try:
                draft.replace(root)
            except OSError:
                if not root.is_dir():
                    raise
                shutil.rmtree(draft)  # another process was quicker, with the same bytes
    return DirectorySource(root)
