"""`store`: hash all that is kept, heal it, say what takes how much room, remove what none needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from builder.commands.fetch import Tools, bring, complete_name, everything
from builder.domain.lockfile import Lock
from builder.domain.progress import Progress
from builder.domain.store import Finding, Store, StoreCare, Usage
from builder.errors import CellarError

_GENERATIONS = 3  # an index names a manifest, a manifest names layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found: `checked` objects, and the faults by whether they were healed.

    `set_aside` are faults whose bytes were moved away and that no lock can bring back: they are
    no loss, because no lock needs them (op wheels are compiled anew).
    """

    checked: int
    findings: tuple[Finding, ...]
    healed: tuple[Finding, ...] = ()
    set_aside: tuple[Finding, ...] = ()
    unhealed: Mapping[str, CellarError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockUsage:
    """How much of one lock is stored: counts of inputs, and bytes."""

    lock: str
    inputs: int
    stored: int
    size: int


def verify(care: StoreCare, progress: Progress) -> Verified:
    """Hash every object and op wheel; return every fault."""
    digests = care.digests()
    task = progress.task(f"hashing {len(digests)} objects", total=len(digests))
    findings = []
    for sha256 in digests:
        found = care.check(sha256)
        if found is not None:
            findings.append(found)
        task.advance(1)
    findings += care.check_rest()
    task.finish()
    return Verified(checked=len(digests), findings=tuple(findings))


def repair(seen: Verified, locks: Sequence[Lock], care: StoreCare, tools: Tools) -> Verified:
    """Set aside or restore all that `seen` found, and fetch again what a lock needs of it."""
    for finding in seen.findings:
        care.mend(finding)
    failures: dict[str, CellarError] = {}
    for _ in range(_GENERATIONS):
        wanted = {one.sha256: one for lock in locks for one in everything(lock, tools.store)}
        lost = [
            wanted[sha256]
            for sha256 in dict.fromkeys(finding.sha256 for finding in seen.findings)
            if sha256 in wanted and sha256 not in failures and not tools.store.has(sha256)
        ]
        if lost:
            failures |= bring(lost, tools)
    healed: list[Finding] = []
    aside: list[Finding] = []
    for finding in seen.findings:
        if finding.sha256 not in failures:
            back = bool(finding.sha256) and tools.store.has(finding.sha256)
            (healed if back else aside).append(finding)
    return Verified(
        checked=seen.checked,
        findings=seen.findings,
        healed=tuple(healed),
        set_aside=tuple(aside),
        unhealed=failures,
    )


def lock_usage(locks: Sequence[Lock], store: Store) -> list[LockUsage]:
    """Say how much of each lock is stored; inputs that locks share count for each of them."""
    rows = []
    for lock in locks:
        inputs = everything(lock, store)
        sizes = [size for one in inputs if (size := store.size(one.sha256)) is not None]
        rows.append(
            LockUsage(
                lock=f"{lock.image}/{lock.cell}",
                inputs=len(inputs),
                stored=len(sizes),
                size=sum(sizes),
            )
        )
    return rows


def collect(
    locks: Sequence[Lock],
    care: StoreCare,
    store: Store,
    *,
    idle_days: float,
    dry_run: bool,
) -> list[Usage]:
    """Remove what no lock and no living process needs; return what went, or would."""
    live = {one.sha256 for lock in locks for one in everything(lock, store)}
    for lock in locks:
        if lock.base is not None and not store.has(lock.base.sha256):
            live.update(care.complete(complete_name(lock)))  # only its manifest names its layers
    return care.collect(live, idle_days=idle_days, dry_run=dry_run)
