import pytest

from builder.adapters.network.channel_settings import (
    PipSettings,
    parse_apt,
    parse_apt_proxies,
    parse_overrides,
    parse_pip,
)


@pytest.mark.parametrize(
    ("listing", "settings"),
    [
        pytest.param("", PipSettings(), id="nothing"),
        pytest.param(
            "global.index-url='https://user:secret@mirror.example/simple'\n"
            "global.extra-index-url='https://a.example/simple\\nfile:///srv/simple'\n"
            "global.trusted-host='mirror.example'\n"
            "global.cert='/etc/ssl/own.pem'\n",
            PipSettings(
                indexes=("https://user:secret@mirror.example/simple",),
                extra_indexes=("https://a.example/simple", "file:///srv/simple"),
                trusted_hosts=("mirror.example",),
                certificates="/etc/ssl/own.pem",
            ),
            id="a file",
        ),
        pytest.param(
            ":env:.index-url='https://env.example'\nglobal.index-url='https://global.example'\n"
            "download.find-links='/srv/wheels'\nglobal.find-links='/old'\n",
            PipSettings(indexes=("https://env.example",), find_links=("/srv/wheels",)),
            id="the environment comes first, then the command's section",
        ),
        pytest.param(
            "global.no-index='true'\nglobal.extra-index-url='https://a.example'\n"
            "global.find-links='/srv/wheels'\n",
            PipSettings(indexes=None, find_links=("/srv/wheels",)),
            id="no index",
        ),
        pytest.param("wheel.index-url='https://a.example'\nnonsense\n", PipSettings(), id="others"),
    ],
)
def test_pip(listing: str, settings: PipSettings) -> None:
    assert parse_pip(listing) == settings


def test_settings_do_not_show_credentials() -> None:
    settings = parse_pip("global.index-url='https://user:secret@mirror.example/simple'")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("listing", "mirrors"),
    [
        pytest.param("", (), id="no apt"),
        pytest.param(
            "http://a.example/debian/|Debian\nhttp://a.example/debian/|Debian\n"
            "http://a.example/debian-security/|Debian\n",
            ("http://a.example/debian", "http://a.example/debian-security"),
            id="each once, in apt's order",
        ),
        pytest.param("http://a.example/debian/|\n", ("http://a.example/debian",), id="not updated"),
        pytest.param("http://a.example/apt/|Another Vendor\n", (), id="another vendor"),
        pytest.param("cdrom://[Debian]/|Debian\nmirror+file:/x|Debian\n", (), id="no URL of ours"),
        pytest.param("file:/srv/debian|Debian\n", ("file:/srv/debian",), id="a local mirror"),
    ],
)
def test_apt(listing: str, mirrors: tuple[str, ...]) -> None:
    assert parse_apt(listing) == mirrors


def test_apt_proxies() -> None:
    text = "HTTP='http://proxy.example:3142'\nHTTPS='DIRECT'\n"
    assert parse_apt_proxies(text) == {"http": "http://proxy.example:3142"}


def test_overrides() -> None:
    environment = {
        "CELLAR_DEBIAN_MIRROR": "http://a.example http://b.example",
        "CELLAR_TORCH_INDEX_MIRROR": "https://c.example",
        "CELLAR_GIT_MIRROR": " ",
        "CELLAR_STORE": "/srv/store",
    }
    assert parse_overrides(environment) == {
        "debian": ("http://a.example", "http://b.example"),
        "torch-index": ("https://c.example",),
    }
