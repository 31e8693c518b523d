"""Locks of cells whose base only a registry serves: what is known of them without it.

Nothing can be resolved outside of the cell's own Python, so a version enters only where the matrix
or a list states it exactly. All else is named as an input without a hash.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.definition import PipLayerDefinition
from builder.domain.lockfile import Unlocked
from builder.domain.locking import QUOTED, Definition, artifact
from builder.domain.matrix import RegistryBase
from builder.domain.requirement_files import Pin
from builder.domain.wheel_tags import Candidate
from builder.errors import DataError

_REASON = "it is decided inside the base, which only an image registry serves"


def base_artifact(base: RegistryBase) -> Artifact:
    """Return the base image as a locked input; its size is known once it is fetched."""
    repository, _, tag = base.reference.rpartition(":")
    return Artifact(
        kind=ArtifactKind.IMAGE,
        name=repository,
        version=tag,
        filename=f"{repository.rpartition('/')[2]}-{tag}.manifest.json",
        sha256=base.digest.removeprefix("sha256:"),
        size=None,
        channel="registry",
        location=base.reference,
        quoted=True,
    )


def quoted_files(definition: Definition) -> Mapping[str, Artifact]:
    """Return the quoted wheels of a cell by name; a malformed row is a DataError."""
    rows = [_quoted(row) for row in definition.names(QUOTED)]
    return {row.name: row for row in rows}


def _quoted(row: str) -> Artifact:
    try:
        filename, sha256, size = row.split()
        name, version, _, _ = parse_wheel_filename(filename)
        measured = (sha256, 0 if size == "?" else int(size))
    except ValueError as error:
        message = f"requirements/quoted: {row!r} is not `file sha256 bytes`: {error}"
        raise DataError(message, hint="write ? where no size was published") from error
    whole = artifact(
        name, str(version), Candidate(filename=filename, sha256=sha256), measured=measured
    )
    return replace(whole, size=measured[1] or None, quoted=True)


def asked_for(definition: Definition, layer: PipLayerDefinition) -> Iterator[Pin | Unlocked]:
    """Yield a Pin for each name of a layer whose version is stated, else a row without a hash."""
    for line in definition.layer(layer):
        asked = Requirement(line)
        stated = [Version(one.version) for one in asked.specifier if one.operator == "=="]
        decided = definition.decided.get(canonicalize_name(asked.name))
        version = decided or next(iter(stated), None)
        if version is None:
            yield unresolved(asked.name, str(asked.specifier) or "any", _REASON)
        else:
            yield Pin(name=canonicalize_name(asked.name), version=str(version), hashes=())
    yield from definition.unresolved(layer)
    if definition.layer(layer):
        yield unresolved(f"dependencies of the layer {layer.name}", "any", _REASON)


def unresolved(name: str, version: str, reason: str) -> Unlocked:
    """Return the row of a distribution that has no hash."""
    return Unlocked(
        kind=ArtifactKind.WHEEL,
        name=name,
        version=version,
        channel="package-index",
        reason=reason,
    )


def unlocked_debs(definition: Definition, base: RegistryBase) -> Iterator[Unlocked]:
    """Yield a row for each package of the base's own distribution."""
    for name in (name for group in ("base", "toolchain") for name in definition.deb_groups[group]):
        yield Unlocked(
            kind=ArtifactKind.DEB, name=name, version=base.os, channel="debian", reason=_REASON
        )
