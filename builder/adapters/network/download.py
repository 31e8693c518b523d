"""Downloads: many at once, each shared with every other Cellar that wants the same bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from builder.adapters.network.http import AnonymousToken, netrc_auth
from builder.adapters.network.source_partial import SourcePartial
from builder.adapters.network.transfer import Line, Patience, Transfer
from builder.adapters.storage.partial import Partial
from builder.adapters.storage.store import Store
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import Job
from builder.domain.progress import Progress
from builder.errors import CellarError, IntegrityError, NetworkError, StorageError

_LOCK_POLL_S = 0.05
_SAY_WE_WAIT_S = 2.0


class Downloads:
    """Brings artifacts into a store over HTTP, or from file:// locations."""

    def __init__(
        self,
        store: Store,
        connect: Callable[[], httpx.AsyncClient],
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store, self._connect, self._sleep = store, connect, sleep
        self._patience = patience or Patience()

    def download(self, jobs: Sequence[Job], progress: Progress) -> Mapping[str, CellarError]:
        """Fetch all jobs; return why some failed, by sha256. A full disk ends it: StorageError."""
        return asyncio.run(self._all(jobs, progress))

    async def _all(self, jobs: Sequence[Job], progress: Progress) -> dict[str, CellarError]:
        sizes = [job.artifact.size for job in jobs]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        task = progress.task(f"downloading {len(jobs)} inputs", total=total, unit="byte")
        turns, failures = asyncio.Semaphore(self._patience.at_once), dict[str, CellarError]()

        async def one(job: Job, line: Line) -> None:
            async with turns:
                try:
                    await self._one(job, line, progress)
                except (NetworkError, IntegrityError) as error:
                    failures[job.artifact.sha256] = error

        try:
            async with self._connect() as client, asyncio.TaskGroup() as group:
                line = Line(
                    client=client,
                    netrc=netrc_auth(),
                    anonymous=AnonymousToken(),
                    patience=self._patience,
                    sleep=self._sleep,
                    advance=task.advance,
                )
                for job in sorted(jobs, key=lambda job: -(job.artifact.size or 0)):
                    group.create_task(one(job, line))
        except* StorageError as errors:
            raise _first(errors) from None
        finally:
            task.finish()
        return failures

    async def _one(self, job: Job, line: Line, progress: Progress) -> None:
        partial = await self._claim(job.artifact, progress)
        if partial is None:  # another Cellar brought it while we waited
            line.advance(job.artifact.size or 0)
            return
        archive = replace(job.artifact, size=None) if _is_tree(job.artifact) else job.artifact
        with partial:
            await Transfer(line, archive, partial).run(job.locations)

    async def _claim(self, artifact: Artifact, progress: Progress) -> Partial | None:
        waited = 0.0
        while not self._store.has(artifact.sha256):
            kind = SourcePartial if _is_tree(artifact) else Partial
            partial = kind.claim(self._store, artifact)
            if partial is not None:
                return partial
            await asyncio.sleep(_LOCK_POLL_S)
            if waited <= _SAY_WE_WAIT_S < waited + _LOCK_POLL_S:
                progress.say(f"waiting for another cellar that brings {artifact.filename}")
            waited += _LOCK_POLL_S
        return None


def _is_tree(artifact: Artifact) -> bool:
    return artifact.kind is ArtifactKind.SOURCE


def _first(errors: BaseExceptionGroup[StorageError]) -> StorageError:
    first = errors.exceptions[0]
    return first if isinstance(first, StorageError) else _first(first)
