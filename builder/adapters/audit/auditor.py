"""Many ELF files audited on all processors, and none twice."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from builder.adapters.audit.audit_cache import AuditCache
from builder.adapters.audit.audit_inputs import Inventory, Item
from builder.adapters.audit.elf_audit import audit_file, identity_of
from builder.domain.audit.ownership import PackageRecord, owner_of
from builder.domain.audit.report import FileAudit

_LARGE = 24 << 20  # bytes of a file whose code is spread over the processes; others go whole


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


class Auditor:
    """Audits the items of an inventory, from the cache where it can."""

    def __init__(
        self, cache: AuditCache | None, workers: int, report: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._report = report

    def audit(self, inventory: Inventory) -> tuple[FileAudit, ...]:
        """Return the audits in the order of the items."""
        found: dict[str, FileAudit] = {}
        missing: list[Item] = []
        for item in inventory.items:
            known = self._known(item, inventory.records)
            if known is None:
                missing.append(item)
            else:
                found[item.name] = known
        if missing:
            self._report(f"decoding {len(missing)} of {len(inventory.items)} ELF files")
        for audit in self._decode(missing, inventory.records):
            found[audit.name] = audit
            if self._cache is not None:
                self._cache.keep_file(audit)
        return tuple(found[item.name] for item in inventory.items)

    def _known(self, item: Item, records: Sequence[PackageRecord]) -> FileAudit | None:
        """Return the cached audit, unless the file's owner is another one here."""
        known = self._cache.file(identity_of(item.path, item.name)) if self._cache else None
        if known is None or known.owner != owner_of(item.name, known.soname, records):
            return None
        return replace(known, name=item.name)

    def _decode(
        self, items: Sequence[Item], records: Sequence[PackageRecord]
    ) -> Iterator[FileAudit]:
        sizes = {item.name: item.path.stat().st_size for item in items}
        if self._workers == 1 or sum(sizes.values()) < _LARGE:
            yield from (audit_file(item.path, item.name, records) for item in items)
            return
        large = [item for item in items if sizes[item.name] >= _LARGE]
        small = [item for item in items if sizes[item.name] < _LARGE]
        large.sort(key=lambda item: -sizes[item.name])
        with _processes(self._workers) as pool, ThreadPoolExecutor(2) as threads:
            waiting: list[Future[FileAudit]] = [
                threads.submit(audit_file, item.path, item.name, records, pool) for item in large
            ]
            waiting += [pool.submit(audit_file, item.path, item.name, records) for item in small]
            for future in waiting:
                yield future.result()


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    # Not forked: a process with threads must not be, and the children need little.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
