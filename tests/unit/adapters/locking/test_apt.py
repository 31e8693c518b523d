"""Debian packages through an isolated apt: what it is told, and what is made of its answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from builder.adapters import environment, process
from builder.adapters.locking import apt as adapter
from builder.adapters.locking.apt import Apt
from builder.adapters.process import ToolError
from builder.domain.artifact import Artifact, ArtifactKind
from builder.errors import CellarError, HostError, NetworkError
from tests.unit.lock_examples import digest

TARGETS = """\
http://vendor.example/linux/debian/|bookworm|main|Vendor
http://mirror.corp.example/debian-security/|bookworm-security|main|Debian
http://mirror.corp.example/debian/|bookworm-updates|main|Debian
http://old.corp.example/debian/|bullseye|main|Debian
http://mirror.corp.example/debian/|bookworm|contrib|Debian
http://mirror.corp.example/debian/|bookworm|main|Debian
"""
UNKNOWN = """\
http://vendor.example/linux/|trixie|main|$(ORIGIN)
http://mirror.example/debian/|trixie-updates|main|$(ORIGIN)
http://mirror.example/debian/|trixie|main|$(ORIGIN)
"""
SIMULATED = """\
NOTE: This is only a simulation!
Inst libc6 (2.36-9+deb12u10 Debian:12.12/oldstable [amd64]) []
Inst ca-certificates (20230311+deb12u1 Debian:12.12/oldstable [all])
Conf libc6 (2.36-9+deb12u10 Debian:12.12/oldstable [amd64])
"""
MORE = SIMULATED + "Inst libcrypt1:amd64 (1:4.4.33-2 Debian:12.12/oldstable [amd64])\n"


def stanza(name: str, version: str, architecture: str, letter: str) -> str:
    plain = version.rpartition(":")[2]
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        f"Filename: pool/main/x/{name}_{plain}_{architecture}.deb\nSize: 100\n"
        f"SHA256: {digest(letter)}\nDescription: text\n  more text\n\n"
    )


SHOWN = {
    "libc6": stanza("libc6", "2.36-9+deb12u10", "amd64", "a") + stanza("libc6", "1", "amd64", "0"),
    "ca-certificates": stanza("ca-certificates", "20230311+deb12u1", "all", "b"),
    "libcrypt1": stanza("libcrypt1", "1:4.4.33-2", "amd64", "c"),
}


class Host:
    """Answers in the place of apt, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.targets, self.unknown = TARGETS, UNKNOWN
        self.failure: ToolError | None = None

    def run(self, argv: Sequence[str], **_named: object) -> str:
        words = [word for word in argv if word != "-c" and not word.endswith("apt.conf")]
        self.asked.append(words)
        if "indextargets" in words:
            return self.unknown if "--no-release-info" in words else self.targets
        if self.failure and "update" in words:
            raise self.failure
        if "--simulate" in words:
            return MORE if "libcrypt1" in words else SIMULATED
        if words[0] == "apt-cache":
            return "".join(SHOWN[word.partition("=")[0]] for word in words[2:])
        return ""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """Return a host whose apt and keyring are ours."""
    fake = Host()
    keyring = tmp_path / "debian.gpg"
    keyring.touch()
    monkeypatch.setattr(process, "run", fake.run)
    monkeypatch.setattr(adapter, "_KEYRING", keyring)
    monkeypatch.setattr(environment, "variable", lambda _name, default="": default)
    return fake


def opened(tmp_path: Path) -> Apt:
    return Apt.open(tmp_path / "apt", suite="bookworm", components=("main", "contrib"))


def locked(name: str, version: str, architecture: str, letter: str) -> Artifact:
    filename = f"{name}_{version.rpartition(':')[2]}_{architecture}.deb"
    return Artifact(
        kind=ArtifactKind.DEB,
        name=name,
        version=version,
        architecture=architecture,
        filename=filename,
        sha256=digest(letter),
        size=100,
        channel="debian",
        location=f"pool/main/x/{filename}",
    )


def test_each_group_holds_what_the_earlier_ones_lack(host: Host, tmp_path: Path) -> None:
    apt = opened(tmp_path)
    assert apt.resolve({"essential": ["?essential"], "base": ["libcrypt1"], "none": []}) == {
        "essential": (
            locked("ca-certificates", "20230311+deb12u1", "all", "b"),
            locked("libc6", "2.36-9+deb12u10", "amd64", "a"),
        ),
        "base": (locked("libcrypt1", "1:4.4.33-2", "amd64", "c"),),
        "none": (),
    }
    simulated = [words[4:] for words in host.asked if "--simulate" in words]
    assert simulated == [["?essential"], ["?essential", "libcrypt1"], ["?essential", "libcrypt1"]]


def test_nothing_of_this_host_decides(host: Host, tmp_path: Path) -> None:
    opened(tmp_path)
    root = tmp_path / "apt"
    assert (root / "sources.list").read_text() == (
        f"deb [signed-by={tmp_path}/debian.gpg] http://mirror.corp.example/debian/ bookworm "
        "main contrib\n"
    )
    assert (root / "status").read_text() == ""
    configuration = (root / "apt.conf").read_text().splitlines()
    assert {
        f'Dir::State::status "{root}/status";',
        'Dir::Etc::sourceparts "/dev/null";',
        'Dir::Etc::preferencesparts "/dev/null";',
        'APT::Architectures { "amd64"; };',
        'APT::Install-Recommends "false";',
        'APT::Get::AllowUnauthenticated "false";',
    } <= set(configuration)
    assert host.asked[-1] == ["apt-get", "--error-on=any", "update"]


def test_a_mirror_by_name_comes_first(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"CELLAR_DEBIAN_MIRROR": "http://one.example/debian http://two.example/debian"}
    monkeypatch.setattr(environment, "variable", lambda name, default="": named.get(name, default))
    opened(tmp_path)
    assert "http://one.example/debian bookworm" in (tmp_path / "apt/sources.list").read_text()
    assert not [words for words in host.asked if "indextargets" in words]


def test_a_debian_of_another_suite_serves_too(host: Host, tmp_path: Path) -> None:
    host.targets = "http://vendor.example/debian/|bookworm|main|Vendor\n"
    opened(tmp_path)
    assert "http://mirror.example/debian/ bookworm" in (tmp_path / "apt/sources.list").read_text()


def without_keyring(_host: Host) -> None:
    Path(adapter._KEYRING).unlink()


def without_debian(host: Host) -> None:
    host.targets = host.unknown = "http://archive.example/ubuntu/|noble|main|Ubuntu\n"


def out_of_reach(host: Host) -> None:
    tail = "E: Failed to fetch http://mirror.corp.example/debian  Could not connect"
    host.failure = ToolError(["apt-get"], 100, tail)


@pytest.mark.parametrize(
    ("harm", "kind", "message"),
    [
        (without_keyring, HostError, "Debian's signing keys are not on this host"),
        (without_debian, HostError, r"no Debian archive among its sources \(bookworm is needed\)"),
        (out_of_reach, NetworkError, "does not serve bookworm with Debian's signature"),
    ],
)
def test_what_is_missing_is_one_line_with_a_remedy(
    host: Host, tmp_path: Path, harm: Callable[[Host], None], kind: type[CellarError], message: str
) -> None:
    harm(host)
    with pytest.raises(kind, match=message) as caught:
        opened(tmp_path)
    assert caught.value.hint
    assert "corp" not in str(caught.value)
