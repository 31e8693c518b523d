"""The host's pip configuration: read as pip reads it, lent for one run, never told."""

from pathlib import Path, PurePosixPath

import pytest

from builder.adapters import environment, process
from builder.adapters.locking.host_pip import HOME, HostPip
from builder.adapters.process import ToolError
from builder.errors import HostError


def host(monkeypatch: pytest.MonkeyPatch, listed: str, **variables: str) -> HostPip:
    """Return what is read where `pip config list` prints `listed`."""
    monkeypatch.setattr(process, "run", lambda *_args, **_named: listed)
    monkeypatch.setattr(environment, "variables", lambda: {"NETRC": "/none", **variables})
    return HostPip.read()


@pytest.mark.parametrize(
    ("listed", "settings"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param(
            "global.index-url='https://a/simple'\n:env:.index_url='https://b/simple'\n",
            {"index-url": "https://b/simple"},
            id="the-environment-wins",
        ),
        pytest.param(
            "install.find-links='/y'\nglobal.find-links='/x'\nwheel.find-links='/z'\n",
            {"find-links": "/y"},
            id="a-section-wins-over-global",
        ),
        pytest.param(
            "global.extra-index-url='https://a/s\\nhttps://b/s'\n",
            {"extra-index-url": "https://a/s\nhttps://b/s"},
            id="several-lines",
        ),
        pytest.param(
            "global.proxy=http://plain\nnoise\n", {"proxy": "http://plain"}, id="unquoted"
        ),
    ],
)
def test_one_value_for_each_setting(
    monkeypatch: pytest.MonkeyPatch, listed: str, settings: dict[str, str]
) -> None:
    assert host(monkeypatch, listed).settings == settings


def test_a_mirror_of_cellar_stands_in_for_pips_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "global.index-url='https://a/simple'\nglobal.extra-index-url='https://b/simple'\n"
    found = host(monkeypatch, listed, CELLAR_PACKAGE_INDEX_MIRROR="https://m/1 https://m/2")
    assert found.index_urls == ("https://m/1", "https://m/2")


def test_no_pip_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: object, **_named: object) -> str:
        raise ToolError(["python", "-m", "pip"], 1, "No module named pip")

    monkeypatch.setattr(process, "run", missing)
    with pytest.raises(HostError, match="pip is not installed"):
        HostPip.read()


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Return a directory with a local index, wheels, a certificate and a netrc."""
    (tmp_path / "index" / "simple" / "torch").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "ca.crt").write_text("certificate")
    (tmp_path / "netrc").write_text("machine mirror.corp.example login alice password s3cr3t\n")
    return tmp_path


def test_the_loan_holds_what_pip_needs(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    lent = host(
        monkeypatch,
        f"global.index-url='https://alice:s3cr3t@mirror.corp.example/simple'\n"
        f"global.extra-index-url='file://{places}/index/simple'\n"
        f"global.find-links='{places}/wheels https://wheels.example/x /not/there'\n"
        f"global.cert='{places}/ca.crt'\n"
        "global.trusted-host='mirror.corp.example'\n"
        "global.disable-pip-version-check='1'\n",
        NETRC=f"{places}/netrc",
        https_proxy="http://bob:pw@proxy.corp.example:3128",
        SSL_CERT_FILE=f"{places}/ca.crt",
        UNRELATED="t0ken",
    )
    into = places / "loan"
    into.mkdir()
    assert lent.lend(into) == {
        into: PurePosixPath("/cellar/host"),
        into / "home": HOME,
        places / "index": PurePosixPath("/cellar/lent/2"),
        places / "wheels": PurePosixPath("/cellar/lent/3"),
        places / "ca.crt": PurePosixPath("/cellar/lent/4"),
    }
    assert (into / "pip.conf").read_text() == (
        "[global]\n"
        "index-url = https://alice:s3cr3t@mirror.corp.example/simple\n"
        "extra-index-url = file:///cellar/lent/2/simple\n"
        "find-links = /cellar/lent/3\n    https://wheels.example/x\n    /not/there\n"
        "trusted-host = mirror.corp.example\n"
        "cert = /cellar/lent/4\n"
        "retries = 1\n"
    )
    assert (into / "environment").read_text() == (
        "export HOME=/cellar/home\n"
        "export PIP_CONFIG_FILE=/cellar/host/pip.conf\n"
        "export https_proxy=http://bob:pw@proxy.corp.example:3128\n"
        "export SSL_CERT_FILE=/cellar/lent/4\n"
    )
    assert (into / "home" / ".netrc").read_text() == (places / "netrc").read_text()
    secret = [into / "pip.conf", into / "environment", into / "home" / ".netrc"]
    assert [path.stat().st_mode & 0o777 for path in secret] == [0o600] * 3


def test_every_private_word_is_known(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    lent = host(
        monkeypatch,
        "global.index-url='https://token-1@mirror.corp.example:8443/simple'\n"
        "global.extra-index-url='https://carol:pa%24s@second.example/s'\n"
        f"global.find-links='{places}/wheels'\n"
        "global.proxy='http://dave:pr0xy@proxy.corp.example'\n",
        NETRC=f"{places}/netrc",
        HTTPS_PROXY="http://erin:env-pw@env-proxy.example:1",
    )
    assert lent.private_words() >= {
        *("token-1", "mirror.corp.example", "carol", "pa%24s", "pa$s", "second.example"),
        *(f"{places}/wheels", "dave", "pr0xy", "proxy.corp.example"),
        *("alice", "s3cr3t", "erin", "env-pw", "env-proxy.example"),
    }
