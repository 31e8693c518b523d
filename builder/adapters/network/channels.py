"""Where locked inputs lie, by the host's own configuration; only hosts that answer count."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from builder.adapters.network.channel_settings import ChannelSettings
from builder.adapters.network.http import explain, probing_client, public
from builder.adapters.network.package_index import PackageIndex
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import Found, Location
from builder.domain.image_parts import repository
from builder.domain.progress import Progress

_INDEXED = "package-index"
_PACKAGES = {ArtifactKind.WHEEL, ArtifactKind.SDIST}
_REGISTRY_HOSTS = {"docker.io": "registry-1.docker.io"}  # the API answers under another name
_PROBES_AT_ONCE = 16


class Channels:
    """Finds artifacts in the package index, Debian mirrors, registries and at public URLs."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    def locate(self, artifacts: Sequence[Artifact], progress: Progress) -> Mapping[str, Found]:
        """Return where each artifact (by sha256) lies on hosts that answer."""
        packages = [one for one in artifacts if one.kind in _PACKAGES]
        found = {one.sha256: self._place(one) for one in artifacts if one.channel != _INDEXED}
        task = progress.task(f"looking for {len(artifacts)} inputs")
        try:
            if packages:
                override = self._settings.overrides.get(_INDEXED, ())
                index = PackageIndex(self._settings.pip, override=override)
                indexed = index.locate(packages, task)
                found |= {one.sha256: _both(indexed, found, one) for one in packages}
            return self._reachable(found)
        finally:
            task.finish()

    def _place(self, artifact: Artifact) -> Found:
        mirrors = self._settings.overrides.get(artifact.channel, ())
        if artifact.channel == "debian":
            return _on_debian(artifact, mirrors or self._settings.apt.mirrors)
        if artifact.channel == "registry":
            return _in_registry(artifact, mirrors)
        return _at_url(artifact, mirrors)

    def _reachable(self, found: Mapping[str, Found]) -> dict[str, Found]:
        hosts = {_host(place.url) for one in found.values() for place in one.locations} - {""}
        with ThreadPoolExecutor(_PROBES_AT_ONCE) as pool:
            silent = dict(zip(sorted(hosts), pool.map(self._probe, sorted(hosts)), strict=True))
        return {sha256: _without(one, silent) for sha256, one in found.items()}

    def _probe(self, host: str) -> str:
        """Return why nothing answers at `host` (scheme and place), or nothing."""
        try:
            with probing_client(self._settings) as client:
                client.head(f"{host}/")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return explain(error)
        return ""


def _on_debian(artifact: Artifact, mirrors: Iterable[str]) -> Found:
    urls = [f"{mirror.rstrip('/')}/{quote(artifact.location)}" for mirror in mirrors]
    if not urls:
        return Found(problem="this host has no Debian mirror: set CELLAR_DEBIAN_MIRROR to one")
    return Found(locations=tuple(Location(url=url, label="the Debian mirror") for url in urls))


def _in_registry(artifact: Artifact, mirrors: Iterable[str]) -> Found:
    host, _, path = repository(artifact.location).partition("/")
    where = "blobs" if artifact.kind is ArtifactKind.LAYER else "manifests"
    tail = f"/v2/{path}/{where}/sha256:{artifact.sha256}"
    own = f"https://{_REGISTRY_HOSTS.get(host, host)}{tail}"
    mirrored = [
        Location(url=mirror.rstrip("/") + tail, label="your registry mirror", registry=True)
        for mirror in mirrors
    ]
    label = f"{host}/{path}@sha256:{artifact.sha256}"
    return Found(locations=(*mirrored, Location(url=own, label=label, registry=True)))


def _at_url(artifact: Artifact, mirrors: Iterable[str]) -> Found:
    parts = urlsplit(artifact.location)
    if parts.scheme not in ("http", "https", "file"):
        return Found(problem=f"its lock names no URL for the channel {artifact.channel!r}")
    mirrored = [
        Location(
            url=mirror.rstrip("/") + urlunsplit(("", "", parts.path, parts.query, "")),
            label=f"your {artifact.channel} mirror",
        )
        for mirror in mirrors
    ]
    own = Location(url=artifact.location, label=public(artifact.location))
    return Found(locations=(*mirrored, own))


def _both(indexed: Mapping[str, Found], placed: Mapping[str, Found], artifact: Artifact) -> Found:
    """Join what pip's sources have of a package with the URL that its lock names, if any.

    A mirror or a folder of the host may well hold a file of torch's own index; its hash tells.
    """
    mine, named = indexed[artifact.sha256], placed.get(artifact.sha256)
    if named is None:
        return mine
    return Found(locations=mine.locations + named.locations, problem=named.problem)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a malformed mirror: the download will say so
        return ""
    if parts.scheme not in ("http", "https"):
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _without(found: Found, silent: Mapping[str, str]) -> Found:
    """Drop the locations on hosts that do not answer, and say why where none is left."""
    kept = tuple(place for place in found.locations if not silent.get(_host(place.url)))
    if kept or not found.locations:
        return replace(found, locations=kept)
    reasons = {f"{place.label}: {silent[_host(place.url)]}": None for place in found.locations}
    return Found(problem="; ".join(reasons))
