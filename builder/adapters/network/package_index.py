"""Files on the host's package indexes and find-links, looked up by exact name and hash."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from packaging.utils import canonicalize_name
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.collector import (
    LinkCollectError,
    collect_links_from_location,
    fetch_page,
    parse_html_page,
    parse_json_response,
)
from unearth.fetchers import Fetcher, PyPIClient

from builder.adapters.network.channel_settings import PipSettings
from builder.adapters.network.http import explain, tls_context
from builder.domain.artifact import Artifact
from builder.domain.fetch import Found, Location
from builder.domain.progress import Task

_AT_ONCE = 16
_TIMEOUT_S = 20.0
_TRIES = 3
_INDEX, _LINKS = "the package index", "pip's find-links"

# It warns with the host's name where nobody asked; failures are reported by us.
logging.getLogger("unearth").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    url: str
    is_index: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What one source has of one project; `problem` says why it could not be read."""

    links: tuple[Link, ...] = ()
    problem: str = ""


class PackageIndex:
    """The indexes and find-links that pip on this host would use, in its order."""

    def __init__(self, settings: PipSettings, *, override: tuple[str, ...] = ()) -> None:
        indexes = override or settings.indexes
        finder = PackageFinder()  # made without sources, it knows the index that pip defaults to
        default = [source["url"] for source in finder.sources]
        urls = [] if indexes is None else [*(indexes or default)]
        urls += [] if override else settings.extra_indexes
        links = [_Source(url=_as_url(link), is_index=False) for link in settings.find_links]
        self._sources = (*links, *(_Source(url=_as_url(url), is_index=True) for url in urls))
        client = PyPIClient(
            trusted_hosts=settings.trusted_hosts,
            verify=tls_context(settings.certificates),
            timeout=_TIMEOUT_S,
            follow_redirects=True,
            proxy=settings.proxy,
        )
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=urls)
        self.client = client
        self._client = cast("Fetcher", client)  # that it is one is unearth's own claim

    def locate(self, artifacts: Iterable[Artifact], task: Task) -> dict[str, Found]:
        """Return where each artifact (by sha256) lies, asking for many projects at once."""
        wanted = list(artifacts)
        names = sorted({canonicalize_name(artifact.name) for artifact in wanted})
        pairs = [_once(source, name) for source in self._sources for name in names]
        asked = list(dict.fromkeys(pairs))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            pages = dict(zip(asked, pool.map(partial(self._page, task), asked), strict=True))
        return {
            artifact.sha256: self._judge(
                artifact,
                [
                    (source, pages[_once(source, canonicalize_name(artifact.name))])
                    for source in self._sources
                ],
            )
            for artifact in wanted
        }

    def links(self, name: str) -> tuple[tuple[Link, ...], tuple[str, ...]]:
        """Return what all sources have of a project (find-links: of any), and why some failed."""
        pages = [self._read(source, name) for source in self._sources]
        problems = sorted({page.problem for page in pages if page.problem})
        return tuple(link for page in pages for link in page.links), tuple(problems)

    def _page(self, task: Task, asked: tuple[_Source, str]) -> _Page:
        source, name = asked
        try:
            return self._read(source, name)
        finally:
            task.advance(1)

    def _read(self, source: _Source, name: str) -> _Page:
        problem = ""
        url = f"{source.url.rstrip('/')}/{name}/" if source.is_index else source.url
        for _ in range(_TRIES):
            try:
                return _Page(links=tuple(self._links(Link(url), is_index=source.is_index)))
            except LinkCollectError as error:
                text = str(error)
                if "Client Error(404)" in text:
                    return _Page()
                problem = "it answers with an error" if "Error(" in text else "it has no such page"
            except Exception as error:  # noqa: BLE001 - its HTTP library's errors are not public
                problem = explain(error)
        return _Page(problem=problem)

    def _links(self, link: Link, *, is_index: bool) -> Iterable[Link]:
        if link.is_file:
            if is_index and not (link.file_path / "index.html").is_file():
                return [Link(path.as_uri()) for path in _files(link.file_path)]
            return list(collect_links_from_location(self._client, link, expand=not is_index))
        page = fetch_page(self._client, link)
        json = page.content_type.lower().startswith("application/vnd.pypi.simple.v1+json")
        return list(parse_json_response(page) if json else parse_html_page(page))

    def _judge(self, artifact: Artifact, pages: list[tuple[_Source, _Page]]) -> Found:
        locations, others = [], set()
        for source, page in pages:
            for link in page.links:
                if link.filename != artifact.filename:
                    continue
                stated = (link.hash_option or {}).get("sha256", [])
                if stated and artifact.sha256 not in stated:
                    others.update(stated)
                    continue
                url = _with_credentials(link.url_without_fragment, source.url)
                locations.append((not stated, url, _INDEX if source.is_index else _LINKS))
        # First where the right hash is stated, and of those what lies on a disk; else pip's order.
        best = sorted(
            dict.fromkeys(locations), key=lambda one: (one[0], not one[1].startswith("file:"))
        )
        if best:
            return Found(locations=tuple(Location(url=url, label=label) for _, url, label in best))
        problems = sorted({page.problem for _, page in pages if page.problem})
        if problems:
            return Found(problem=f"{_INDEX} could not be asked: {'; '.join(problems)}")
        if others:
            problem = f"{_INDEX} has it with another sha256: {', '.join(sorted(others))}"
            return Found(problem=problem, gone=True)
        return Found(problem=f"{_INDEX} does not have it", gone=True)


def _once(source: _Source, name: str) -> tuple[_Source, str]:
    return source, name if source.is_index else ""  # find-links is one page for all projects


def _as_url(place: str) -> str:
    return place if "://" in place else Path(place).expanduser().absolute().as_uri()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _with_credentials(url: str, index: str) -> str:
    """Give a file on the index's own host the credentials that the index was configured with."""
    file, source = urlsplit(url), urlsplit(index)
    if "@" not in source.netloc or source.netloc.rpartition("@")[2] != file.netloc:
        return url
    return urlunsplit(file._replace(netloc=source.netloc))
