"""Requirement files: the names that people write, and the pins that pip-compile writes."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from builder.errors import DataError

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
_VIA = re.compile(r"#\s*(?:via\s+)?(?P<origin>\S.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One distribution at one version, with the hashes it may have and what asked for it."""

    name: str
    version: str
    hashes: tuple[str, ...]
    via: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the pin as a requirement that pip takes under --require-hashes."""
        lines = [f"{self.name}=={self.version}"]
        lines += [f"    --hash=sha256:{digest}" for digest in self.hashes]
        text = " \\\n".join(lines)
        return f"{text}\n    # via {', '.join(self.via)}\n" if self.via else f"{text}\n"


def names(text: str, *, python: str) -> tuple[str, ...]:
    """Return the entries of a hand-written list, without its comments; `{python}` is 3.11."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return tuple(line.replace("{python}", python) for line in lines if line)


def pins(text: str) -> tuple[Pin, ...]:
    """Read what pip-compile wrote, sorted by name; a line that is no pin is a DataError."""
    return tuple(sorted((_pin(block) for block in _blocks(text)), key=lambda pin: pin.name))


def render(layer: Iterable[Pin]) -> str:
    """Return the text of a layer's pins, sorted by name."""
    return "".join(pin.text() for pin in sorted(layer, key=lambda pin: pin.name))


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield each requirement with the indented lines below it."""
    block: list[str] = []
    for line in text.splitlines():
        indented = line.startswith((" ", "\t"))
        if line.strip() and not indented and not line.startswith("#"):
            if block:
                yield block
            block = [line]
        elif block and indented:
            block.append(line)
    if block:
        yield block


def _pin(block: list[str]) -> Pin:
    match = _PIN.match(block[0])
    if match is None:
        message = f"{block[0].strip()!r} is not a pin of the form name==version"
        raise DataError(message, hint="make the lock anew: `make lock`")
    found = (_VIA.match(line.strip()) for line in block[1:])
    origins = [match["origin"] for match in found if match is not None]
    return Pin(
        name=canonicalize_name(match["name"]),
        version=match["version"],
        hashes=tuple(sorted(set(_HASH.findall("\n".join(block))))),
        via=tuple(origin for origin in origins if origin != "via"),
    )
