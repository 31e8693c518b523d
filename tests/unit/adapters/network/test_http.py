import socket
import ssl
from pathlib import Path

import httpx
import pytest

from builder.adapters.network.channel_settings import AptSettings, ChannelSettings, PipSettings
from builder.adapters.network.http import async_client, explain, probing_client, public, tls_context
from builder.adapters.network.http_range import Answer, body_length, judge, validator_of, wait_of
from builder.errors import HostError


def caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(
            caused(httpx.ConnectError("https://secret"), socket.gaierror(-2, "private.example")),
            "its host name is not known here",
            id="name",
        ),
        pytest.param(
            caused(
                httpx.ConnectError("all failed"),
                ExceptionGroup("several", [ConnectionRefusedError(111, "10.0.0.1")]),
            ),
            "the connection was refused",
            id="refused at every address",
        ),
        pytest.param(
            caused(httpx.ConnectError(""), ssl.SSLError("private.example")),
            "its TLS certificate is not trusted here, or TLS failed",
            id="certificate",
        ),
        pytest.param(httpx.ReadTimeout("private"), "it timed out", id="timeout"),
        pytest.param(httpx.RemoteProtocolError("private"), "the connection broke", id="protocol"),
        pytest.param(KeyError("private"), "KeyError", id="anything else"),
    ],
)
def test_explanations_hold_nothing_private(error: Exception, text: str) -> None:
    assert explain(error) == text


def test_public_urls() -> None:
    url = "https://user:secret@host.example:8443/a/b%2Bc.whl?token=presigned#sha256=00"
    assert public(url) == "https://host.example:8443/a/b%2Bc.whl"


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_certificates_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HostError, match="the certificates of this host cannot be read") as caught:
        tls_context(str(path))
    assert caught.value.hint == f"check {path} (pip's `cert`)"


def test_clients_reach_mirrors_by_apts_proxy_and_trusted_hosts_without_checks() -> None:
    settings = ChannelSettings(
        pip=PipSettings(trusted_hosts=("own.example",)),
        apt=AptSettings(
            mirrors=("http://deb.example/debian",), proxies={"http": "http://proxy.example:3142"}
        ),
    )
    with probing_client(settings) as client:
        patterns = {pattern.pattern for pattern in client._mounts}
    assert patterns >= {"all://own.example", "http://deb.example"}
    assert async_client(settings).follow_redirects


RANGE = {"content-range": "bytes 5-9/10", "etag": '"v1"'}


@pytest.mark.parametrize(
    ("status", "headers", "answer"),
    [
        pytest.param(200, {}, Answer.BEGINS, id="all of it"),
        pytest.param(206, RANGE, Answer.CONTINUES, id="the rest"),
        pytest.param(206, {"content-range": "bytes 5-9/10"}, Answer.CONTINUES, id="no validator"),
        pytest.param(206, {"content-range": "bytes 5-9/*"}, Answer.CONTINUES, id="no total"),
        pytest.param(206, RANGE | {"etag": '"v2"'}, Answer.MISMATCHES, id="another version"),
        pytest.param(
            206, RANGE | {"content-range": "bytes 4-9/10"}, Answer.MISMATCHES, id="another start"
        ),
        pytest.param(
            206, RANGE | {"content-range": "bytes 5-9/11"}, Answer.MISMATCHES, id="another total"
        ),
        pytest.param(206, {}, Answer.MISMATCHES, id="no range"),
        pytest.param(416, {}, Answer.MISMATCHES, id="not satisfiable"),
        pytest.param(429, {}, Answer.LATER, id="too many"),
        pytest.param(503, {}, Answer.LATER, id="unavailable"),
        pytest.param(404, {}, Answer.NEVER, id="gone"),
        pytest.param(401, {}, Answer.NEVER, id="not allowed"),
        pytest.param(204, {}, Answer.NEVER, id="nothing"),
    ],
)
def test_answers(status: int, headers: dict[str, str], answer: Answer) -> None:
    assert judge(status, headers, offset=5, validator='"v1"', size=10) is answer


def test_a_part_that_nobody_asked_for_does_not_fit() -> None:
    headers = {"content-range": "bytes 0-9/10"}
    assert judge(206, headers, offset=0, validator=None, size=10) is Answer.MISMATCHES


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"v1"', "last-modified": "then"}, '"v1"'),
        ({"etag": 'W/"v1"', "last-modified": "then"}, "then"),
        ({"etag": 'W/"v1"'}, None),
        ({}, None),
    ],
)
def test_only_strong_validators_count(headers: dict[str, str], validator: str | None) -> None:
    assert validator_of(headers) == validator


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "10"}, 10),
        ({"content-length": "10", "content-encoding": "gzip"}, None),
        ({"content-length": "-1"}, None),
        ({}, None),
    ],
)
def test_body_length(headers: dict[str, str], length: int | None) -> None:
    assert body_length(headers) == length


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("7", 7.0),
        ("100000", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after(stated: str, seconds: float | None) -> None:
    assert wait_of({"retry-after": stated}, now=10.0) == seconds
