"""`make image` for the cell `cpu`: cold, warm, after an edit, and against a plain Dockerfile.

Empties Docker's build cache (`docker builder prune --all`) to be cold. Its own store is a temporary
folder, so that yours stays as it is. mmdebstrap makes the plain Dockerfile's base.
"""

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from builder.adapters.environment import variables
from builder.adapters.network.channel_settings import read_settings
from builder.adapters.process import ToolError, run
from tests.bench import plain
from tests.bench.row import Row

ROOT = Path(__file__).parents[2]
TAG = "cellar/bevformer:cpu"
_EDITED = "images/bevformer/evaluator/src/bevformer_eval/__init__.py"


def rows() -> Iterator[Row]:
    """Yield the rows, each as soon as it is measured."""
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        clone, store = Path(folder) / "clone", Path(folder) / "store"
        run(["git", "clone", "--quiet", str(ROOT), str(clone)])
        _prune()
        cold = _image(clone, store)
        yield Row(what="cold, empty store", ours=cold, unit="s")
        _prune()
        shutil.rmtree(clone / ".cellar")
        full = _image(clone, store)
        yield Row(what="cold, full store", ours=full, unit="s")
        yield Row(what="nothing changed", ours=_image(clone, store), unit="s", goal=2.0)
        before = _layers()
        with (clone / _EDITED).open("a") as file:
            file.write("\n# edited by the measurement\n")
        edit = _image(clone, store)
        yield Row(
            what="evaluator edited",
            ours=edit,
            unit="s",
            against="cold, empty store",
            theirs=cold,
            goal=0.1,
        )
        after = _layers()
        changed = sum(size for digest, size in after.items() if digest not in before)
        yield from _against_plain(clone, cold=cold, size=sum(after.values()), changed=changed)


def _against_plain(clone: Path, *, cold: float, size: int, changed: int) -> Iterator[Row]:
    base = _base_with_apt()
    other = plain.build(base, evaluator=clone / "images/bevformer/evaluator", torch="2.13.0+cpu")
    against = "plain Dockerfile, unlocked"
    yield Row(
        what="cold, empty store",
        ours=cold,
        unit="s",
        against=against,
        theirs=sum(other.seconds.values()),
    )
    yield Row(
        what="size, compressed",
        ours=size / 1e6,
        unit="MB",
        against=against,
        theirs=sum(other.layers) / 1e6,
        goal=0.6,
    )
    yield Row(
        what="layers new after an edit",
        ours=changed / 1e6,
        unit="MB",
        against=against,
        theirs=other.layers[-1] / 1e6,
    )


def _image(clone: Path, store: Path) -> float:
    start = time.monotonic()
    run(
        [str(Path(sys.prefix) / "bin" / "cellar"), "image", "--cell", "cpu"],
        cwd=clone,
        env={**variables(), "CELLAR_STORE": str(store)},
    )
    return time.monotonic() - start


def _layers() -> dict[str, int]:
    """Return the layers of the built image: uncompressed digest to compressed size."""
    inspected = json.loads(run(["docker", "image", "inspect", TAG]))
    return dict(zip(inspected[0]["RootFS"]["Layers"], plain.layer_sizes(TAG), strict=True))


def _base_with_apt() -> str:
    """Make a plain Debian with mmdebstrap from this host's own apt sources, and import it."""
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "base.tar"
        settings = read_settings()
        mirror = (*settings.overrides.get("debian", ()), *settings.apt.mirrors)[0]
        run(["mmdebstrap", "--variant=minbase", "--include=python3", "bookworm", str(tar), mirror])
        run(["docker", "import", str(tar), "cellar-bench-plain:base"])
    return "cellar-bench-plain:base"


def _prune() -> None:
    run(["docker", "builder", "prune", "--all", "--force"])
    with contextlib.suppress(ToolError):  # there may be none
        run(["docker", "rmi", "--force", TAG])
