"""What a new lock has that the old one had not: for people, and for whoever must agree to it."""

from builder.domain.artifact import Artifact
from builder.domain.lockfile import Lock


def changes(old: Lock | None, new: Lock) -> tuple[str, ...]:
    """Return one line for each input that came, went or changed, by name; none if all are equal."""
    before, after = _by_name(old) if old else {}, _by_name(new)
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            lines.append(f"+ {name} {now.version}")
        elif now is None and was is not None:
            lines.append(f"- {name} {was.version}")
        elif was is not None and now is not None and was != now:
            lines.append(f"~ {name} {_difference(was, now)}")
    return tuple(lines)


def _by_name(lock: Lock) -> dict[str, Artifact]:
    return {f"{artifact.name} ({artifact.kind})": artifact for artifact in lock.artifacts()}


def _difference(was: Artifact, now: Artifact) -> str:
    if was.version != now.version:
        return f"{was.version} -> {now.version}"
    if was.filename != now.filename:
        return f"{was.filename} -> {now.filename}"
    return (
        f"{now.version}: other bytes"
        if was.sha256 != now.sha256
        else f"{now.version}: other details"
    )
