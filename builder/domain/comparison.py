"""How two builds of one image differ: not at all, in compression, in layers, in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One file of an image: `mode` are the permission bits, `mtime` seconds since 1970.

    `content` is the sha256 of a plain file, the target of a link, and empty for the rest.
    """

    kind: str  # file, directory, link, device
    mode: int
    owner: str  # uid:gid
    mtime: int
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image is made of: layers as they are stored, and as the tars that they unpack to.

    `config` maps the settings of the image (environment, user, command, ...) to their text;
    `annotations` are those of its manifest.
    """

    digest: str
    layers: tuple[str, ...]
    sizes: tuple[int, ...]  # of the layers as stored, in bytes
    diff_ids: tuple[str, ...]
    config: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)


# Empty files and directories that engines leave where they mount something while a step runs.
MOUNT_PLACES = frozenset(
    {"etc/hostname", "etc/hosts", "etc/resolv.conf", "mnt", "run/.containerenv"}
)


class Likeness(StrEnum):
    """How alike two builds are, the best first."""

    DIGEST = "same digest"
    LAYERS = "same layers, other compression"
    FILES = "same files, other layers"
    DIFFERENT = "different files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The likeness of two builds, with one line for each difference."""

    likeness: Likeness
    differences: tuple[str, ...] = ()


def compare_files(
    one: Mapping[str, FileFacts], other: Mapping[str, FileFacts], settings: tuple[str, ...] = ()
) -> Comparison:
    """Compare two file systems, path by path; `settings` are differences found elsewhere.

    The empty places of MOUNT_PLACES are the engine's, and not compared.
    """
    differences = (*settings, *_differences(one, other))
    likeness = Likeness.DIFFERENT if differences else Likeness.FILES
    return Comparison(likeness=likeness, differences=differences)


def compare_settings(one: ImageFacts, other: ImageFacts) -> tuple[str, ...]:
    """Return one line for each setting in which two images differ."""
    return tuple(_settings(one.config, other.config))


def _settings(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*one, *other}):
        first, second = one.get(name, "absent"), other.get(name, "absent")
        if first != second:
            yield f"setting {name}: {first} -> {second}"


def _differences(one: Mapping[str, FileFacts], other: Mapping[str, FileFacts]) -> Iterator[str]:
    for path in sorted({*one, *other} - MOUNT_PLACES):
        first, second = one.get(path), other.get(path)
        if first is None or second is None:
            yield f"/{path}: only in the {'second' if first is None else 'first'} build"
        elif first != second:
            yield f"/{path}: {', '.join(_aspects(first, second))}"


def _aspects(first: FileFacts, second: FileFacts) -> Iterator[str]:
    for name in (one.name for one in fields(FileFacts)):
        before, after = getattr(first, name), getattr(second, name)
        if before != after:
            yield f"{name} {_shown(name, before)} -> {_shown(name, after)}"


def _shown(name: str, value: object) -> str:
    return f"{value:04o}" if name == "mode" else str(value)[:64]
