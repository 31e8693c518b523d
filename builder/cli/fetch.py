"""`cellar fetch`: every input of a cell in the store, or one message about all that is not."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.adapters import files
from builder.adapters.archives.source_import import SourceImport
from builder.adapters.storage.folder_import import FolderImport
from builder.cli import building, storage, wiring
from builder.cli.selection import add_cell_options, select
from builder.commands.fetch import Fetched, Tools, Wish, confirmed_lock, fetch, import_from
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import readable
from builder.domain.lock_files import dump
from builder.domain.lockfile import Lock
from builder.errors import IntegrityError, NetworkError

_EPILOG = (
    "Where inputs come from is this host's own configuration: pip's indexes and find-links, apt's "
    "Debian sources, proxies and certificates. CELLAR_PACKAGE_INDEX_MIRROR, CELLAR_DEBIAN_MIRROR, "
    "CELLAR_TORCH_INDEX_MIRROR, CELLAR_REGISTRY_MIRROR and CELLAR_GIT_MIRROR each name one or more "
    "URLs that come before it; CELLAR_STORE names the store's folder."
)
_SHOWN = 12  # names in a message for people; --json has them all


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar fetch`."""
    add_cell_options(parser)
    parser.epilog = _EPILOG
    parser.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="take missing inputs by hash from the files in FOLDER, at any depth, and source "
        "trees from archives and clones of their commits; no network",
    )
    parser.add_argument(
        "--plan", action="store_true", help="say what would be downloaded, and stop there"
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="take what can be had although not all can"
    )
    parser.add_argument(
        "--ignore-space", action="store_true", help="go on where the disk seems too small"
    )
    parser.add_argument(
        "--confirm",
        action="store_true",
        help="write into the lock which quoted hashes and sizes a fetch has confirmed",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def execute(args: argparse.Namespace) -> int:
    """Fetch, or import; 0 when the store has all of the cell's lock."""
    selection = select(args)
    lock = building.lock_of(selection)
    tools = storage.fetch_tools()
    if args.folder:
        done = _import(lock, args.folder, tools)
    else:
        wish = Wish(
            lock=lock,
            isa=selection.own_isa,
            plan_only=args.plan,
            keep_going=args.keep_going,
            ignore_space=args.ignore_space,
        )
        done = fetch(wish, tools)
    say = tools.progress.say
    _tell(done, say)
    if done.confirmed:
        whole = wiring.lock(args.image, selection.cell)
        _confirm(whole, done, write=args.confirm, say=say)
    if args.json:
        sys.stdout.write(json.dumps(_document(done), indent=2) + "\n")
    if not args.plan:
        _judge(lock, done, say)
    return 0


def _judge(lock: Lock, done: Fetched, say: Callable[[str], None]) -> None:
    """Raise NetworkError for what a build cannot do without; name the source trees it can."""
    trees = [one for one in done.remaining if one.kind is ArtifactKind.SOURCE]
    needed = [one for one in done.remaining if one.kind is not ArtifactKind.SOURCE]
    if trees:
        say(f"without {_names(trees)} the image comes without the authors' code")
        say(f"  `cellar fetch --cell {lock.cell} --from FOLDER` takes them from archives or clones")
    if needed:
        message = f"{len(needed)} inputs of {lock.cell} remain: {_names(needed)}"
        hint = "`cellar fetch` without --from says where each one should be"
        raise NetworkError(message, hint=hint)


def _import(lock: Lock, folder: Path, tools: Tools) -> Fetched:
    with TemporaryDirectory(prefix="cellar-sources-") as work:
        trees = SourceImport(folder, Path(work))
        done = import_from(lock, (FolderImport(folder), trees), tools)
    if trees.refused:
        hint = "give an archive of that commit, as git or its host makes it, or a clone that has it"
        raise IntegrityError("\n".join(trees.refused), hint=hint)
    return done


def _tell(done: Fetched, say: Callable[[str], None]) -> None:
    if done.took:
        size = sum(one.size or 0 for one in done.took)
        say(f"took {len(done.took)} inputs ({readable(size)}): {_names(done.took)}")
    elif not done.remaining:
        say(f"all {done.plan.present} inputs are in the store")


def _confirm(lock: Lock, done: Fetched, *, write: bool, say: Callable[[str], None]) -> None:
    say(f"{len(done.confirmed)} quoted hashes are confirmed: {_names(done.confirmed)}")
    if not write:
        say(f"  `cellar fetch --cell {lock.cell} --confirm` writes that into {lock.folder}")
        return
    files.write_lock(wiring.root() / lock.folder, dump(confirmed_lock(lock, done.confirmed)))
    say(f"  {lock.folder} says so now")


def _names(artifacts: Iterable[Artifact]) -> str:
    names = [artifact.filename for artifact in artifacts]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _document(done: Fetched) -> dict[str, object]:
    return {
        "schema": 1,
        "plan": {
            "present": done.plan.present,
            "missing": len(done.plan.missing),
            "download_bytes": done.plan.download,
            "unsized": done.plan.unsized,
            "unpacked_bytes_estimate": done.plan.unpacked,
        },
        "took": [_row(one) for one in done.took],
        "remaining": [_row(one) for one in done.remaining],
        "confirmed": [_row(one) for one in done.confirmed],
    }


def _row(artifact: Artifact) -> dict[str, object]:
    return {
        "filename": artifact.filename,
        "kind": artifact.kind.value,
        "sha256": artifact.sha256,
        "size": artifact.size,
        "channel": artifact.channel,
    }
