"""Debian packages: resolved by the host's apt, in a root of its own that is empty at the start.

The host lends its mirror, keyring, proxy and credentials; the suite, the choice of packages and
the state are ours, so that what is installed on this host decides nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from debian.deb822 import Packages

from builder.adapters import environment, process
from builder.domain.artifact import Artifact, ArtifactKind
from builder.errors import HostError, NetworkError

ARCHITECTURE = "amd64"
_MIRROR_VARIABLE = "CELLAR_DEBIAN_MIRROR"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_INSTALLED = re.compile(r"^Inst (?P<name>[^ :]+)(?::\S+)? \((?P<version>\S+) ", re.MULTILINE)

# Read after the host's own configuration, whose hooks belong to the host's desktop, not to us.
# apt counts itself as essential unless ForceEssential names others; an image needs no apt.
_CONFIGURATION = """\
#clear APT::Update;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "";
Acquire::AllowInsecureRepositories "false";
Acquire::GzipIndexes "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
pkgCacheGen::ForceEssential ",";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


@dataclass(frozen=True, slots=True)
class Apt:
    """One suite of a Debian archive, as an isolated apt sees it."""

    configuration: Path

    @classmethod
    def open(cls, root: Path, *, suite: str, components: Sequence[str]) -> Self:
        """Read the package lists of `suite` into the empty directory `root` (network).

        A host without apt or Debian's keyring is a HostError, a mirror that does not answer a
        NetworkError.
        """
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        source = f"deb [signed-by={_keyring()}] {_mirror(suite)} {suite} {' '.join(components)}\n"
        (root / "sources.list").write_text(source)
        configuration = root / "apt.conf"
        configuration.write_text(_CONFIGURATION.format(root=root, architecture=ARCHITECTURE))
        apt = cls(configuration)
        apt.update(suite)
        return apt

    def update(self, suite: str) -> None:
        """Fetch the package lists (network)."""
        try:
            self._run("apt-get", "--error-on=any", "update")
        except process.ToolError as error:
            # apt's own words name the mirror, which is nobody's business.
            message = f"this host's Debian mirror does not serve {suite} with Debian's signature"
            hint = f"`apt-get update` tells more; or name another mirror: {_MIRROR_VARIABLE}=URL"
            raise NetworkError(message, hint=hint) from error

    def resolve(self, groups: Mapping[str, Sequence[str]]) -> Mapping[str, tuple[Artifact, ...]]:
        """Lock groups of packages, in their order; each holds what the earlier ones lack."""
        wanted: list[str] = []
        taken: dict[str, str] = {}
        locked = {}
        for group, names in groups.items():
            wanted += names
            chosen = self._install(wanted)
            fresh = {name: chosen[name] for name in sorted(chosen) if name not in taken}
            locked[group] = tuple(self._describe(fresh))
            taken |= chosen
        return locked

    def _install(self, names: Sequence[str]) -> dict[str, str]:
        plan = self._run("apt-get", "--simulate", "--yes", "install", *names)
        return {match["name"]: match["version"] for match in _INSTALLED.finditer(plan)}

    def _describe(self, versions: Mapping[str, str]) -> Iterator[Artifact]:
        if not versions:
            return
        exact = [f"{name}={version}" for name, version in versions.items()]
        stanzas = self._run("apt-cache", "show", *exact)
        found = {
            stanza["Package"]: stanza
            for stanza in Packages.iter_paragraphs(stanzas, use_apt_pkg=False)
            if versions.get(stanza["Package"]) == stanza["Version"]
        }
        for name in versions:
            yield _artifact(found[name])

    def _run(self, tool: str, *arguments: str) -> str:
        # The messages are parsed, so they must be in English.
        variables = {**environment.variables(), "LC_ALL": "C.UTF-8"}
        return process.run([tool, "-c", str(self.configuration), *arguments], env=variables)


def _artifact(stanza: Packages) -> Artifact:
    # apt escapes the colon of an epoch in its own file names; the pool never holds the epoch.
    location = stanza["Filename"]
    return Artifact(
        kind=ArtifactKind.DEB,
        name=stanza["Package"],
        version=stanza["Version"],
        architecture=stanza["Architecture"],
        filename=location.rsplit("/", 1)[-1],
        sha256=stanza["SHA256"],
        size=int(stanza["Size"]),
        channel="debian",
        location=location,
    )


def _mirror(suite: str) -> str:
    """Return the root of the Debian archive that this host uses, one with `suite` first."""
    if override := environment.variable(_MIRROR_VARIABLE).split():
        return override[0]
    # Without release files (a host that never ran `apt-get update`) nobody knows an origin.
    rows = _archives() or _archives("--no-release-info")
    if rows:
        return min(rows, key=lambda row: (row.origin != "Debian", row.release != suite)).uri
    message = f"this host's apt has no Debian archive among its sources ({suite} is needed)"
    raise HostError(message, hint=f"name a mirror: {_MIRROR_VARIABLE}=URL")


class _Archive(NamedTuple):
    """One source of the host's apt."""

    uri: str
    release: str
    component: str
    origin: str

    @property
    def serves_debian(self) -> bool:
        """Say whether this is Debian's main archive: not its updates, not another vendor's."""
        named = urlsplit(self.uri).path.rstrip("/").endswith("/debian")
        vendor = self.origin == "Debian" or (self.origin == "$(ORIGIN)" and named)
        return vendor and self.component == "main" and "-" not in self.release


def _archives(*options: str) -> list[_Archive]:
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    printed = process.run(["apt-get", "indextargets", *options, "--format", form])
    rows = (line.split("|") for line in printed.splitlines() if line.count("|") == 3)
    return [row for row in (_Archive(*fields) for fields in rows) if row.serves_debian]


def _keyring() -> Path:
    if _KEYRING.is_file():
        return _KEYRING
    message = f"{_KEYRING}: Debian's signing keys are not on this host"
    raise HostError(message, hint="install the package debian-archive-keyring")
