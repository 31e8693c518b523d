"""The files that this host's package indexes offer for a distribution, and how large they are."""

from datetime import datetime
from hashlib import sha256
from typing import cast

import httpx2
from packaging.version import Version
from unearth import Link, Package, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import Fetcher, PyPIClient

from builder.adapters.hashing import sha256_of
from builder.adapters.host_pip import HostPip
from builder.domain.wheel_tags import Candidate
from builder.errors import NetworkError

_TIMEOUT = 60.0  # seconds
_HINT = "check this host's pip configuration (`pip config list`)"


class IndexFiles:
    """The configured indexes and link directories of a host, all as one.

    What an index dates later than `not_after` does not exist; what it does not date does.
    """

    def __init__(self, host: HostPip, *, not_after: datetime | None = None) -> None:
        self._not_after = not_after
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
        """Return every file of a distribution at one version."""
        wanted = Version(version)
        try:
            found = self._finder.find_all_packages(name, allow_yanked=True)
            return tuple(
                _candidate(package.link) for package in found if self._counts(package, wanted)
            )
        except httpx2.TransportError as error:
            message = f"the package index does not answer when asked for {name}"
            raise NetworkError(message, hint=_HINT) from error

    def measure(self, candidate: Candidate) -> tuple[str, int]:
        """Return sha256 and size of a file; it is brought only where no index states its hash."""
        link = Link(candidate.url)
        if link.is_file:
            with link.file_path.open("rb") as file:
                return candidate.sha256 or sha256_of(file), link.file_path.stat().st_size
        try:
            return self._size(link, candidate.sha256) if candidate.sha256 else self._read(link)
        except (httpx2.HTTPError, KeyError, ValueError) as error:
            message = f"{candidate.filename}: the package index does not tell its size"
            raise NetworkError(message, hint=_HINT) from error

    def _counts(self, package: Package, wanted: Version) -> bool:
        uploaded = package.link.upload_time
        if self._not_after and uploaded and uploaded > self._not_after:
            return False
        return package.version is not None and Version(package.version) == wanted

    def _size(self, link: Link, digest: str) -> tuple[str, int]:
        answer = self._session.head(
            link.url_without_fragment, headers={"Accept-Encoding": "identity"}
        ).raise_for_status()
        return digest, int(answer.headers["Content-Length"])

    def _read(self, link: Link) -> tuple[str, int]:
        digest, size = sha256(), 0
        with self._session.stream("GET", link.url_without_fragment) as answer:
            for chunk in answer.raise_for_status().iter_raw():
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size


def _default_index(host: HostPip) -> tuple[str, ...]:
    """Return pip's own default, which unearth knows: none under --no-index."""
    if host.settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return ()
    return tuple(source["url"] for source in PackageFinder().sources)


def _candidate(link: Link) -> Candidate:
    stated = (link.hash_option or {}).get("sha256", [""])
    return Candidate(
        filename=link.filename, sha256=stated[0], url=link.normalized, uploaded=link.upload_time
    )
