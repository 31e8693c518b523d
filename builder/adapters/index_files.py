"""The files that this host's package indexes offer for a distribution, and how large they are."""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import cast

import httpx2
from packaging.version import Version
from unearth import Link, Package, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from builder.adapters.host_pip import HostPip
from builder.domain.wheel_tags import Candidate
from builder.errors import NetworkError

_TIMEOUT = 60.0  # seconds
_HINT = "check this host's pip configuration (`pip config list`)"


class IndexFiles:
    """The configured indexes and link directories of a host, all as one."""

    def __init__(self, host: HostPip) -> None:
        self._session = PyPIClient(
            trusted_hosts=host.values("trusted-host"),
            verify=host.settings.get("cert", True),
            proxy=host.settings.get("proxy"),
            timeout=_TIMEOUT,
            follow_redirects=True,
        )
        self._session.auth = MultiDomainBasicAuth(prompting=False, index_urls=host.index_urls)
        self._finder = PackageFinder(
            cast("Fetcher", self._session),  # that it is one is unearth's own claim
            index_urls=host.values("index-url") or _default_index(host),
            find_links=host.values("find-links"),
            ignore_compatibility=True,
        )
        for url in host.values("extra-index-url"):
            self._finder.add_index_url(url)

    def candidates(self, name: str, version: str) -> tuple[Candidate, ...]:
        """Return every file of a distribution at one version, as the indexes hash them."""
        wanted = Version(version)
        try:
            return tuple(
                Candidate(
                    filename=package.link.filename, sha256=digest, url=package.link.normalized
                )
                for package in self._finder.find_all_packages(name, allow_yanked=True)
                if _is_version(package, wanted)
                for digest in _sha256(package.link)
            )
        except httpx2.TransportError as error:
            message = f"the package index does not answer when asked for {name}"
            raise NetworkError(message, hint=_HINT) from error

    def size(self, candidate: Candidate) -> int:
        """Return the size of a file in bytes, without bringing it."""
        link = Link(candidate.url)
        if link.is_file:
            return link.file_path.stat().st_size
        try:
            answer = self._session.head(
                link.url_without_fragment, headers={"Accept-Encoding": "identity"}
            ).raise_for_status()
            return int(answer.headers["Content-Length"])
        except (httpx2.HTTPError, KeyError, ValueError) as error:
            message = f"{candidate.filename}: the package index does not tell its size"
            raise NetworkError(message, hint=_HINT) from error


def _default_index(host: HostPip) -> tuple[str, ...]:
    """Return pip's own default, which unearth knows: none under --no-index."""
    if host.settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return ()
    return tuple(source["url"] for source in PackageFinder().sources)


def _is_version(package: Package, wanted: Version) -> bool:
    return package.version is not None and Version(package.version) == wanted


def _sha256(link: Link) -> Iterator[str]:
    """Yield the sha256 that the index states; a local file without one is hashed."""
    stated = (link.hash_option or {}).get("sha256")
    if stated:
        yield stated[0]
    elif link.is_file:
        yield _hash_file(link.file_path)


@lru_cache
def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
