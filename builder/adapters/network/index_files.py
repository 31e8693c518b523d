"""The files that this host's package indexes offer for a distribution, and how large they are."""

from datetime import datetime
from hashlib import sha256

import httpx2
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from unearth import Link

from builder.adapters.network.channel_settings import ChannelSettings
from builder.adapters.network.package_index import PackageIndex
from builder.adapters.storage.hashing import sha256_of
from builder.domain.wheel_tags import Candidate
from builder.errors import NetworkError

_HINT = "check this host's pip configuration (`pip config list`)"


class IndexFiles:
    """The configured indexes and link directories of a host, all as one.

    What an index dates later than `not_after` does not exist; what it does not date does.
    """

    def __init__(self, settings: ChannelSettings, *, not_after: datetime | None = None) -> None:
        override = settings.overrides.get("package-index", ())
        self._index = PackageIndex(settings.pip, override=override)
        self._not_after = not_after

    def candidates(self, name: str, version: str) -> tuple[Candidate, ...]:
        """Return every file of a distribution at one version.

        One index that does not answer is a NetworkError: it may hold the better file.
        """
        links, problems = self._index.links(canonicalize_name(name))
        if problems:
            message = f"a package index could not be asked for {name}: {'; '.join(problems)}"
            raise NetworkError(message, hint=_HINT)
        wanted = (canonicalize_name(name), Version(version))
        return tuple(
            _candidate(link)
            for link in links
            if _identity(link.filename) == wanted and not self._is_later(link)
        )

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

    def _is_later(self, link: Link) -> bool:
        fence, uploaded = self._not_after, link.upload_time
        return fence is not None and uploaded is not None and uploaded > fence

    def _size(self, link: Link, digest: str) -> tuple[str, int]:
        answer = self._index.client.head(
            link.url_without_fragment, headers={"Accept-Encoding": "identity"}
        ).raise_for_status()
        return digest, int(answer.headers["Content-Length"])

    def _read(self, link: Link) -> tuple[str, int]:
        digest, size = sha256(), 0
        with self._index.client.stream("GET", link.url_without_fragment) as answer:
            for chunk in answer.raise_for_status().iter_raw():
                digest.update(chunk)
                size += len(chunk)
        return digest.hexdigest(), size


def _identity(filename: str) -> tuple[str, Version] | None:
    """Return the name and version that a file name states, None where it is no distribution."""
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[:2]
        return parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _candidate(link: Link) -> Candidate:
    stated = (link.hash_option or {}).get("sha256", [""])
    return Candidate(
        filename=link.filename, sha256=stated[0], url=link.normalized, uploaded=link.upload_time
    )
