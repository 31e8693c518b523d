"""Where this host gets packages from: pip's own configuration, apt's own sources, CELLAR_*."""

import ast
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from builder.adapters import process
from builder.adapters.environment import variables
from builder.adapters.process import ToolError
from builder.errors import HostError

_PIP_LINE = re.compile(r"([\w:-]+)\.([\w-]+)=(.*)")
_PIP_SECTIONS = ("global", "install", "download", ":env:")  # later ones win, as in pip
_MIRROR = re.compile(r"CELLAR_([A-Z_]+)_MIRROR")
_APT_PROXY = re.compile(r"^(HTTP|HTTPS)='([^']*)'$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """What pip would use; `indexes` is empty where pip has its default, None with --no-index.

    Kept out of `repr`, because index URLs may hold credentials.
    """

    indexes: tuple[str, ...] | None = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    trusted_hosts: tuple[str, ...] = field(default=(), repr=False)
    certificates: str | None = None
    proxy: str | None = field(default=None, repr=False)
    extra_indexes: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSettings:
    """Debian mirrors in apt's order, and the proxies that apt uses for them."""

    mirrors: tuple[str, ...] = field(default=(), repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """All that this host says about channels; `overrides` is by channel, from CELLAR_*_MIRROR."""

    pip: PipSettings = field(default_factory=PipSettings)
    apt: AptSettings = field(default_factory=AptSettings)
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)


def read_settings() -> ChannelSettings:
    """Ask pip, apt and the environment of this host."""
    questions = (
        [sys.executable, "-m", "pip", "config", "list"],
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)"],
        ["apt-config", "shell", *_apt_proxy("HTTP"), *_apt_proxy("HTTPS")],
    )
    with ThreadPoolExecutor(len(questions)) as pool:
        pip, targets, proxies = pool.map(_ask, questions)
    return ChannelSettings(
        pip=parse_pip(pip),
        apt=AptSettings(mirrors=parse_apt(targets), proxies=parse_apt_proxies(proxies)),
        overrides=parse_overrides(variables()),
    )


def _apt_proxy(scheme: str) -> Sequence[str]:
    return scheme, f"Acquire::{scheme.lower()}::Proxy"


def _ask(argv: Sequence[str]) -> str:
    """Return what a tool prints, or nothing where the host lacks it or it fails."""
    try:
        return process.run(argv)
    except (HostError, ToolError):
        return ""


def effective_pip(listing: str) -> Mapping[str, str]:
    """Read what `pip config list` prints (values as Python writes them): one for each setting."""
    values: dict[str, dict[str, str]] = {section: {} for section in _PIP_SECTIONS}
    for line in listing.splitlines():
        found = _PIP_LINE.fullmatch(line)
        if found and found[1] in values:
            values[found[1]][found[2].replace("_", "-")] = _literal(found[3])
    merged: dict[str, str] = {}
    for section in _PIP_SECTIONS:
        merged |= values[section]
    return merged


def parse_pip(listing: str) -> PipSettings:
    """Read what `pip config list` prints, as far as a fetch needs it."""
    merged = effective_pip(listing)
    no_index = merged.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return PipSettings(
        indexes=None if no_index else tuple(merged.get("index-url", "").split()),
        extra_indexes=() if no_index else tuple(merged.get("extra-index-url", "").split()),
        find_links=tuple(merged.get("find-links", "").split()),
        trusted_hosts=tuple(merged.get("trusted-host", "").split()),
        certificates=merged.get("cert") or None,
        proxy=merged.get("proxy") or None,
    )


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def parse_apt(listing: str) -> tuple[str, ...]:
    """Read `REPO_URI|ORIGIN` lines; repositories of another vendor hold no Debian pool."""
    rows = [line.rpartition("|") for line in listing.splitlines() if "|" in line]
    kept = [uri.rstrip("/") for uri, _, origin in rows if origin.strip() in ("", "Debian")]
    return tuple(dict.fromkeys(uri for uri in kept if uri.startswith(("http:", "https:", "file:"))))


def parse_apt_proxies(text: str) -> Mapping[str, str]:
    """Read what `apt-config shell` prints: the proxy for each scheme."""
    found = {scheme.lower(): url for scheme, url in _APT_PROXY.findall(text)}
    return {scheme: url for scheme, url in found.items() if url not in ("", "DIRECT")}


def parse_overrides(environment: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Read CELLAR_<CHANNEL>_MIRROR: one or more URLs that stand in for a channel's own place."""
    found = ((_MIRROR.fullmatch(name), value) for name, value in environment.items())
    return {
        match[1].lower().replace("_", "-"): tuple(value.split())
        for match, value in found
        if match and value.strip()
    }
