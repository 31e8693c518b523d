"""One artifact on its way from one of its locations into the store."""

import asyncio
import hashlib
import io
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from builder.adapters.network import http_range
from builder.adapters.network.http import explain
from builder.adapters.network.http_range import Answer
from builder.adapters.storage.partial import Partial
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import GoneError, Location
from builder.errors import CellarError, IntegrityError, NetworkError

_T = TypeVar("_T")
_CHUNK = 1 << 20
_PROGRESS_PER_TRY = 1 << 18  # a server that cuts more often than this many bytes is given up
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)


_STALLED = "it came to a stall"
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_UNFIT = "it answered with a part that does not fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try a location before the next one."""

    tries: int = 6  # in a row without progress
    wrong_tries: int = 2  # whole files with wrong bytes
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0
    stall_s: float = 60.0  # slower than `slowest` bytes a second for this long is a stall
    slowest: int = 1024
    at_once: int = 8


class _Retry(Exception):  # noqa: N818 - a signal inside this module, not an error
    """The location may yet give the bytes; `after_s` is how long the server asked to wait."""

    def __init__(self, why: str, *, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class _Refused(Exception):  # noqa: N818 - as above
    """The location will not give the bytes; `gone`: it answers, and has them no more."""

    def __init__(self, why: str, *, gone: bool = False) -> None:
        super().__init__(why)
        self.gone = gone


class _Wrong(_Refused):
    """The location gave other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What all transfers of one fetch share."""

    client: httpx.AsyncClient
    netrc: httpx.Auth | None
    anonymous: httpx.Auth
    patience: Patience
    sleep: Callable[[float], Awaitable[None]]
    advance: Callable[[int], None]  # hears of bytes as they come; of fewer after a restart


class Transfer:
    """Fills the `partial` of one artifact."""

    def __init__(self, line: Line, artifact: Artifact, partial: Partial) -> None:
        self._line, self._artifact, self._partial = line, artifact, partial
        self._shown = 0

    async def run(self, locations: tuple[Location, ...]) -> None:
        """Bring the artifact into the store, or say why no location gave it."""
        if await in_thread(self._partial.finished):
            self._show()
            await in_thread(lambda: self._partial.commit("the store"))
            return
        refusals: dict[str, _Refused] = {}
        for location in locations:
            try:
                await self._from(location)
            except _Refused as error:
                refusals[f"{location.label}: {error}"] = error
            else:
                return
        raise self._failure(refusals)

    def _failure(self, refusals: Mapping[str, _Refused]) -> CellarError:
        message = f"{self._artifact.filename}: " + "; ".join(refusals or ["it lies nowhere"])
        if any(isinstance(error, _Wrong) for error in refusals.values()):
            hint = "its location serves other bytes than were locked: they were not used"
            return IntegrityError(message, hint=hint)
        gone = bool(refusals) and all(error.gone for error in refusals.values())
        return GoneError(message) if gone else NetworkError(message)

    async def _from(self, location: Location) -> None:
        tries = wrongs = 0
        budget = self._line.patience.tries + (self._artifact.size or 0) // _PROGRESS_PER_TRY
        while True:
            before = self._partial.size
            try:
                await self._attempt(location)
                await self._finish(location)
            except _Wrong:
                wrongs += 1
                if wrongs >= self._line.patience.wrong_tries:
                    raise
            except _Retry as signal:
                budget -= 1
                tries = 1 if self._partial.size > before else tries + 1
                if tries >= self._line.patience.tries or budget <= 0:
                    raise _Refused(str(signal)) from None
                await self._wait(tries, signal.after_s)
            else:
                return

    async def _wait(self, tries: int, asked_s: float | None) -> None:
        grown = self._line.patience.first_wait_s * 2 ** (tries - 1)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing
        wait = min(grown, self._line.patience.longest_wait_s) * jitter
        await self._line.sleep(max(wait, asked_s or 0.0))

    async def _attempt(self, location: Location) -> None:
        if location.url.startswith("file:"):
            await self._copy(location)
            return
        origin = hashlib.sha256(location.url.encode()).hexdigest()
        validator = await in_thread(lambda: self._partial.resume(origin))
        self._show()
        offset = self._partial.size if validator else 0
        request = self._request(location, offset, validator)
        try:
            auth = self._auth(location, request)
            response = await self._line.client.send(request, stream=True, auth=auth)
            try:
                self._admit(response, origin, validator)
                await self._receive(response)
            finally:
                await response.aclose()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise _Refused(explain(error)) from None
        except httpx.HTTPError as error:
            raise _Retry(explain(error)) from None

    def _request(self, location: Location, offset: int, validator: str | None) -> httpx.Request:
        headers = http_range.request_headers(offset, validator)
        if location.registry:
            headers["Accept"] = f"{_MANIFESTS}, */*"
        try:
            return self._line.client.build_request("GET", location.url, headers=headers)
        except (httpx.InvalidURL, ValueError) as error:
            raise _Refused(explain(error)) from None

    def _auth(self, location: Location, request: httpx.Request) -> httpx.Auth | None:
        if location.registry:
            return self._line.anonymous
        return None if request.url.userinfo else self._line.netrc  # None: those of the URL

    def _admit(self, response: httpx.Response, origin: str, validator: str | None) -> None:
        """Make `partial` ready for the body of `response`, or say why it is not wanted."""
        status, headers, size = response.status_code, response.headers, self._artifact.size
        offset = self._partial.size if validator else 0
        match http_range.judge(status, headers, offset=offset, validator=validator, size=size):
            case Answer.CONTINUES:
                return
            case Answer.MISMATCHES:
                self._partial.restart(origin, None)
                raise _Retry(_UNFIT)
            case Answer.LATER:
                after = http_range.wait_of(headers, now=time.time())
                raise _Retry(_status(status), after_s=after)
            case Answer.NEVER:
                raise _Refused(_status(status), gone=status in _GONE)
            case Answer.BEGINS:
                stated = http_range.body_length(headers)
                if None not in (stated, size) and stated != size:
                    message = f"expected {size} bytes, got {stated}"
                    raise _Wrong(message)
                self._partial.restart(origin, http_range.validator_of(headers))

    async def _receive(self, response: httpx.Response) -> None:
        since, arrived = time.monotonic(), 0
        async for chunk in response.aiter_raw():  # raw: a Content-Encoding changes nothing
            self._take(chunk)
            arrived += len(chunk)
            elapsed = time.monotonic() - since
            if elapsed > self._line.patience.stall_s:
                if arrived < self._line.patience.slowest * elapsed:
                    raise _Retry(_STALLED)
                since, arrived = time.monotonic(), 0
        size = self._artifact.size
        if size is not None and self._partial.size < size:
            message = f"it ended after {self._partial.size} of {size} bytes"
            raise _Retry(message)

    async def _copy(self, location: Location) -> None:
        path = Path(unquote(urlsplit(location.url).path))
        self._partial.restart("", None)
        try:
            with await in_thread(lambda: path.open("rb")) as file:
                size = os.fstat(file.fileno()).st_size
                if self._artifact.size in (None, size):
                    await self._read(file)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise _Refused(error.strerror or "it cannot be read", gone=missing) from None
        got = self._partial.sha256()
        if self._artifact.kind is ArtifactKind.SOURCE:  # its tree counts, which the commit judges
            return
        if got != self._artifact.sha256:  # it stays where it is: nothing to set aside
            self._partial.restart("", None)
            message = f"its file of that name is another one ({size} bytes)"
            raise _Refused(message, gone=True)

    async def _read(self, file: io.BufferedReader) -> None:
        while chunk := file.read(_CHUNK):
            self._take(chunk)
            await asyncio.sleep(0)  # let the others and Ctrl-C have a turn

    def _take(self, chunk: bytes) -> None:
        self._partial.write(chunk)
        self._show()
        size = self._artifact.size
        if size is not None and self._partial.size > size:
            self._reject(f"expected {size} bytes, more came")

    async def _finish(self, location: Location) -> None:
        try:
            await in_thread(lambda: self._partial.commit(location.label))
        except IntegrityError as error:
            if self._artifact.kind is ArtifactKind.SOURCE:
                self._reject(str(error))
            expected, got = self._artifact.sha256, self._partial.sha256()
            self._reject(f"expected sha256 {expected}, got {got} ({self._partial.size} bytes)")

    def _reject(self, why: str) -> NoReturn:
        if self._partial.resumed:  # the first part may be to blame: prove it with a whole download
            self._partial.restart("", None)
            raise _Retry(why)
        aside = self._partial.set_aside()
        message = f"{why}; set aside as {aside}"
        raise _Wrong(message)

    def _show(self) -> None:
        self._line.advance(self._partial.size - self._shown)
        self._shown = self._partial.size


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run blocking `work` in a thread; a cancelled caller leaves only after it has ended."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # It works on descriptors that we are about to close.
        await asyncio.gather(future, return_exceptions=True)
        raise


def _status(code: int) -> str:
    try:
        return f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"
