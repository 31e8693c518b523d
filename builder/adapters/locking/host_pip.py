"""What this host's pip is told about indexes, mirrors, proxies and certificates.

All of it is the host's business: it is lent to a lock for the length of one run and is the list
of words that no lock may hold.
"""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import unquote, urlsplit

from builder.adapters import environment, process
from builder.adapters.network.channel_settings import effective_pip, parse_overrides
from builder.errors import HostError

_LISTS = ("index-url", "extra-index-url", "find-links", "trusted-host")
_FILES = ("cert", "client-cert")
_PLAIN = ("no-index", "proxy", "timeout", "default-timeout", "retries")
_VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_INSIDE = PurePosixPath("/cellar/host")
HOME = PurePosixPath("/cellar/home")  # the one place of a container that pip may write to


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPip:
    """The settings, by pip's own names; those of `_LISTS` hold several values, apart by blanks."""

    settings: Mapping[str, str]
    variables: Mapping[str, str]
    netrc: Path | None

    @classmethod
    def read(cls) -> Self:
        """Ask this host's pip for its configuration; a host without pip is a HostError."""
        try:
            listed = process.run([sys.executable, "-m", "pip", "config", "list"])
        except process.ToolError as error:
            message = "pip is not installed beside Cellar"
            raise HostError(
                message, hint="make Cellar's environment anew: `make bootstrap`"
            ) from error
        variables = environment.variables()
        named = variables.get("NETRC") or str(Path.home() / ".netrc")
        return cls(
            settings=_settings(listed, parse_overrides(variables).get("package-index", ())),
            variables={
                key: variables[key] for key in (*_VARIABLES, *_BUNDLES) if variables.get(key)
            },
            netrc=Path(named) if Path(named).is_file() else None,
        )

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of one setting, none where it is unset."""
        return tuple(self.settings.get(key, "").split())

    @property
    def index_urls(self) -> tuple[str, ...]:
        """Return the configured indexes; none means pip's own default."""
        return (*self.values("index-url"), *self.values("extra-index-url"))

    def lend(self, into: Path) -> Mapping[Path, PurePosixPath]:
        """Write pip's configuration for a container into the directory `into`.

        Returns what to mount where: the directory itself and the host's local indexes, link
        directories and certificates. Sourcing `environment` there puts it to use.
        """
        home = into / "home"
        home.mkdir()
        loan = _Loan({into: _INSIDE, home: HOME})
        lines = [f"{key} = {text}" for key, text in self._lent(loan)]
        exports = {
            "HOME": str(HOME),
            "PIP_CONFIG_FILE": f"{_INSIDE}/pip.conf",
            **{key: self.variables[key] for key in _VARIABLES if key in self.variables},
            **{
                key: loan.file(Path(self.variables[key]))
                for key in _BUNDLES
                if key in self.variables
            },
        }
        _private(into / "pip.conf", "[global]\n" + "\n".join(lines) + "\n")
        _private(
            into / "environment",
            "".join(f"export {key}={shlex.quote(text)}\n" for key, text in exports.items()),
        )
        if self.netrc is not None:
            _private(home / ".netrc", self.netrc.read_text(encoding="utf-8"))
        return loan.mounts

    def _lent(self, loan: "_Loan") -> Iterator[tuple[str, str]]:
        for key in _LISTS:
            folder = "parent" if key.endswith("index-url") else "self"
            if values := [loan.location(text, folder) for text in self.values(key)]:
                yield key, "\n    ".join(values)
        for key in _FILES:
            if key in self.settings:
                yield key, loan.file(Path(self.settings[key]))
        plain = {"retries": "1", **self.settings}  # pip's five make a dead index last for minutes
        yield from ((key, plain[key]) for key in _PLAIN if key in plain)

    def private_words(self) -> frozenset[str]:
        """Return the hosts, names, passwords and paths of this configuration."""
        texts = [text for key in _LISTS for text in self.values(key)]
        texts += [self.settings[key] for key in ("proxy", *_FILES) if key in self.settings]
        texts += self.variables.values()
        words = {word for text in texts for word in _words(text)}
        if self.netrc is not None:
            words |= set(_netrc_words(self.netrc.read_text(encoding="utf-8")))
        return frozenset(words)


def _settings(listed: str, mirrors: Sequence[str]) -> Mapping[str, str]:
    """Return pip's settings; CELLAR_PACKAGE_INDEX_MIRROR stands in for its indexes."""
    settings = dict(effective_pip(listed))
    if mirrors:
        settings |= {"index-url": mirrors[0], "extra-index-url": " ".join(mirrors[1:])}
    return settings


class _Loan:
    """Which of the host's files a container sees, and under which name."""

    def __init__(self, mounts: dict[Path, PurePosixPath]) -> None:
        self.mounts = mounts

    def location(self, text: str, folder: str) -> str:
        """Return the container's name of a URL or path; a remote URL stays as it is.

        A local index keeps its files beside its pages, so its parent is lent.
        """
        url = urlsplit(text)
        if url.scheme not in ("", "file"):
            return text
        path = Path(unquote(url.path)).expanduser()
        if not path.exists():  # a host name (trusted-host), or what pip will complain of itself
            return text
        lent = path.parent if folder == "parent" and path.parent != path.parent.parent else path
        inside = self._mount(lent.resolve()) / path.relative_to(lent)
        return f"file://{inside}" if url.scheme else str(inside)

    def file(self, path: Path) -> str:
        return str(self._mount(path.expanduser().resolve())) if path.exists() else str(path)

    def _mount(self, path: Path) -> PurePosixPath:
        return self.mounts.setdefault(path, PurePosixPath(f"/cellar/lent/{len(self.mounts)}"))


def _words(text: str) -> Iterator[str]:
    url = urlsplit(text)
    if url.scheme in ("", "file"):
        if url.path.startswith("/"):
            yield unquote(url.path).rstrip("/")
        return
    for part in (url.hostname, url.username, url.password):
        if part:
            yield from {part, unquote(part)}


def _netrc_words(text: str) -> Iterator[str]:
    words = text.split()
    for key, value in pairwise(words):
        if key in ("machine", "login", "password", "account"):
            yield value


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
