"""`cellar store`: verify, df and gc."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from builder.adapters.storage.store_care import HostStoreCare
from builder.cli import storage, wiring
from builder.commands.store import Verified, collect, lock_usage, repair, verify
from builder.domain.fetch import readable
from builder.domain.store import Fault, Usage
from builder.errors import CellarError, IntegrityError

_IDLE_DAYS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `cellar store` and their options."""
    json_option = argparse.ArgumentParser(add_help=False)
    json_option.add_argument("--json", action="store_true", help="print the outcome as JSON")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verify | df | gc")
    one = verbs.add_parser("verify", parents=[json_option], help="hash everything that is kept")
    one.add_argument(
        "--repair", action="store_true", help="set wrong bytes aside and fetch them again"
    )
    verbs.add_parser("df", parents=[json_option], help="say what takes how much room")
    one = verbs.add_parser("gc", parents=[json_option], help="remove what no lock here needs")
    one.add_argument("--dry-run", action="store_true", help="only say what would go")
    one.add_argument(
        "--all", action="store_true", help="also what the locks need; never what a build is using"
    )
    one.add_argument(
        "--idle-days",
        type=float,
        default=_IDLE_DAYS,
        metavar="N",
        help=f"op wheels and set-aside bytes go after so long unused (default {_IDLE_DAYS:.0f})",
    )


def execute(args: argparse.Namespace) -> int:
    """Do what the verb says; its exit code is that of the worst fault that remains."""
    verbs = {"verify": _verify, "df": _df, "gc": _gc}
    return verbs[args.verb](args)


def _verify(args: argparse.Namespace) -> int:
    care, progress = HostStoreCare(storage.store()), wiring.progress()
    seen = verify(care, progress)
    if args.repair and seen.findings:
        seen = repair(seen, storage.all_locks(), care, storage.fetch_tools())
    for finding in seen.findings:
        done = (
            "healed" if finding in seen.healed else "set aside" if finding in seen.set_aside else ""
        )
        progress.say(f"{finding.fault}: {finding.name}: {finding.detail} {done and f'({done})'}")
    for error in seen.unhealed.values():
        progress.say(f"not healed: {error}")
    if args.json:
        _print(_document(seen))
    left = seen.unhealed if args.repair else seen.findings
    progress.say(f"{seen.checked} objects hashed, {len(seen.findings)} faults, {len(left)} remain")
    return _exit_code(seen, repaired=args.repair)


def _exit_code(seen: Verified, *, repaired: bool) -> int:
    if repaired:
        return max((error.exit_code for error in seen.unhealed.values()), default=0)
    if any(finding.fault is Fault.CORRUPT for finding in seen.findings):
        return IntegrityError.exit_code
    return CellarError.exit_code if seen.findings else 0


def _document(seen: Verified) -> dict[str, object]:
    return {
        "schema": 1,
        "checked": seen.checked,
        "findings": [
            {
                **asdict(finding),
                "healed": finding in seen.healed,
                "set_aside": finding in seen.set_aside,
            }
            for finding in seen.findings
        ],
        "unhealed": {sha256: str(error) for sha256, error in seen.unhealed.items()},
    }


def _df(args: argparse.Namespace) -> int:
    store = storage.store()
    usage = HostStoreCare(store).usage()
    locks = lock_usage(storage.all_locks(), store)
    room = storage.fetch_tools().disk.room(store.root)
    if args.json:
        _print(
            {
                "schema": 1,
                "root": str(store.root),
                "free": room.free,
                "usage": [asdict(one) for one in usage],
                "locks": [asdict(one) for one in locks],
            }
        )
        return 0
    lines = [f"{store.root}: {readable(room.free)} free", *_table(usage)]
    lines += [
        f"  {one.lock:<20} {one.stored:>5} of {one.inputs} inputs {readable(one.size):>10}"
        for one in locks
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _gc(args: argparse.Namespace) -> int:
    store = storage.store()
    went = collect(
        [] if args.all else storage.all_locks(),
        HostStoreCare(store),
        store,
        idle_days=0 if args.all else args.idle_days,
        dry_run=args.dry_run,
    )
    if args.json:
        _print({"schema": 1, "dry_run": args.dry_run, "removed": [asdict(one) for one in went]})
        return 0
    word = "would remove" if args.dry_run else "removed"
    total = sum(one.size for one in went)
    sys.stdout.write("\n".join([*_table(went), f"{word} {readable(total)}"]) + "\n")
    return 0


def _table(rows: Sequence[Usage]) -> list[str]:
    return [f"  {one.kind:<20} {one.count:>5} files {readable(one.size):>18}" for one in rows]


def _print(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
