"""Small artifacts, a silent listener and a download set-up, for tests of the store and fetches."""

import hashlib
import random
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import httpx

from builder.adapters.network.download import Downloads
from builder.adapters.network.http import tls_context
from builder.adapters.network.transfer import Patience
from builder.adapters.storage.store import Store
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import Job, Location

QUICK = Patience(first_wait_s=0.0, longest_wait_s=0.0)


def content(seed: int, size: int) -> bytes:
    """Return bytes that depend on the seed alone."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - test data


def artifact(data: bytes, name: str = "example", *, size: int | None = -1) -> Artifact:
    """Return the artifact whose bytes are `data`; its size is the true one unless told."""
    return Artifact(
        kind=ArtifactKind.WHEEL,
        name=name,
        version="1",
        filename=f"{name}-1-py3-none-any.whl",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data) if size == -1 else size,
        channel="package-index",
    )


def keep(store: Store, data: bytes, scratch: Path, name: str = "example") -> Artifact:
    """Put `data` into the store by way of a file, and return its artifact."""
    made = artifact(data, name)
    file = scratch / f"source-{made.sha256[:8]}"
    file.write_bytes(data)
    store.add_file(file, made)
    return made


@cache
def _tls() -> ssl.SSLContext:
    return tls_context()  # a tenth of a second, and no test needs a second one


class Silent:
    """Listens to progress and says nothing; keeps the lines for people."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.amount = 0

    def task(self, text: str, *, total: int | None = None, unit: str = "step") -> "Silent":
        """Begin a piece of work."""
        del text, total, unit
        return self

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def advance(self, amount: int) -> None:
        """Count."""
        self.amount += amount

    def describe(self, text: str) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """End."""


def connect(read_s: float = 0.3) -> Callable[[], httpx.AsyncClient]:
    """Return a maker of clients that lose patience after `read_s` seconds without a byte."""

    def make() -> httpx.AsyncClient:
        timeout = httpx.Timeout(read_s, connect=5.0)
        return httpx.AsyncClient(
            verify=_tls(),
            timeout=timeout,
            follow_redirects=True,
            max_redirects=3,
            trust_env=False,
        )

    return make


def downloads(store: Store, *, read_s: float = 0.3, patience: Patience = QUICK) -> Downloads:
    """Return downloads into `store` that never wait between tries."""
    return Downloads(store, connect(read_s), patience=patience)


def job(made: Artifact, urls: Sequence[str]) -> Job:
    """Return the job of fetching an artifact from the first of `urls` that gives it."""
    places = tuple(Location(url=url, label=f"place {n}") for n, url in enumerate(urls, start=1))
    return Job(artifact=made, locations=places)
