"""HTTP with the host's certificates, proxies and netrc, and nothing private in its errors."""

import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import certifi
import httpx

from builder.adapters.network.channel_settings import ChannelSettings
from builder.errors import HostError

USER_AGENT = "cellar"

_T = TypeVar("_T")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_CONNECT_S, _READ_S = 15.0, 30.0
_CONNECTIONS = 16

# What people read for each failure; the exceptions' own texts may hold URLs, hosts or credentials.
_PHRASES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "its host name is not known here"),
    (ssl.SSLError, "its TLS certificate is not trusted here, or TLS failed"),
    (ConnectionRefusedError, "the connection was refused"),
    (httpx.ProxyError, "the proxy refused"),
    (httpx.TimeoutException, "it timed out"),
    (httpx.TooManyRedirects, "it redirects in circles"),
    (httpx.UnsupportedProtocol, "its address is of no kind that can be fetched"),
    (httpx.InvalidURL, "its address is malformed"),
    (httpx.ConnectError, "no connection could be made"),
    (httpx.TransportError, "the connection broke"),
)


def explain(error: BaseException) -> str:
    """Say in public words what went wrong, looking through the chain of causes."""
    chain = list(_causes(error))
    for kind, phrase in _PHRASES:
        if any(isinstance(one, kind) for one in chain):
            return phrase
    return type(error).__name__


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    seen = 0
    while error is not None and seen < 20:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error, seen = error.__cause__ or error.__context__, seen + 1


def public(url: str) -> str:
    """Return `url` without credentials, query and fragment, fit to be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def tls_context(certificates: str | None = None) -> ssl.SSLContext:
    """Trust the host's own certificates, certifi's, and those in the file `certificates`."""
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        if certificates:
            context.load_verify_locations(certificates)
    except OSError as error:  # ssl.SSLError is one: a file that holds no certificate
        message = f"the certificates of this host cannot be read: {error.strerror or error}"
        hint = f"check {certificates} (pip's `cert`)" if certificates else "check SSL_CERT_FILE"
        raise HostError(message, hint=hint) from None
    return context


def async_client(settings: ChannelSettings) -> httpx.AsyncClient:
    """Return a client for downloads, with the certificates and proxies of pip, apt and the host."""
    return httpx.AsyncClient(
        verify=tls_context(settings.pip.certificates),
        mounts=_mounts(settings, httpx.AsyncHTTPTransport),
        proxy=settings.pip.proxy,  # None: the environment's, as pip and apt take them too
        follow_redirects=True,
        max_redirects=10,
        timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S, pool=None),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        headers={"User-Agent": USER_AGENT},
    )


def probing_client(settings: ChannelSettings) -> httpx.Client:
    """Return a client that soon gives up, to learn whether a host answers at all."""
    return httpx.Client(
        verify=tls_context(settings.pip.certificates),
        mounts=_mounts(settings, httpx.HTTPTransport),
        proxy=settings.pip.proxy,
        timeout=_CONNECT_S,
        headers={"User-Agent": USER_AGENT},
    )


def _mounts(settings: ChannelSettings, transport: Callable[..., _T]) -> dict[str, _T]:
    """Give the hosts that pip trusts, and the mirrors that apt reaches by proxy, their own way."""
    trusted = {f"all://{host}": transport(verify=False) for host in settings.pip.trusted_hosts}
    mirrors = [urlsplit(mirror) for mirror in settings.apt.mirrors]
    proxied = {
        f"{mirror.scheme}://{mirror.hostname}": transport(proxy=settings.apt.proxies[mirror.scheme])
        for mirror in mirrors
        if mirror.scheme in settings.apt.proxies
    }
    return trusted | proxied


def netrc_auth() -> httpx.Auth | None:
    """Return the user's netrc as credentials, or None where there is none to read."""
    try:
        return httpx.NetRCAuth()
    except (OSError, SyntaxError):  # SyntaxError: netrc.NetrcParseError
        return None


class AnonymousToken(httpx.Auth):
    """The token that a public image registry hands to anyone who asks (distribution spec)."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Answer a 401 that names a token service with a token of that service."""
        scope = (
            request.url.host + request.url.path.partition("/blobs/")[0].partition("/manifests/")[0]
        )
        if scope in self._tokens:
            request.headers["Authorization"] = f"Bearer {self._tokens[scope]}"
        response = yield request
        challenge = response.headers.get("WWW-Authenticate", "")
        if response.status_code != httpx.codes.UNAUTHORIZED or not challenge.startswith("Bearer "):
            return
        asked = dict(_CHALLENGE.findall(challenge))
        realm = asked.pop("realm", "")
        if not realm.startswith("https://") and urlsplit(realm).hostname != request.url.host:
            return
        wanted = {key: asked[key] for key in ("service", "scope") if key in asked}
        answer = yield httpx.Request("GET", realm, params=wanted)
        await answer.aread()
        token = _token(answer)
        if token:
            self._tokens[scope] = token
            request.headers["Authorization"] = f"Bearer {token}"
            yield request


def _token(answer: httpx.Response) -> str:
    try:
        fields = answer.json()
    except ValueError:
        return ""
    found = fields.get("token") or fields.get("access_token") if isinstance(fields, dict) else ""
    return str(found or "")
