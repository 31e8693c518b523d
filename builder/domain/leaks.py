"""What must never stand in a lock: credentials, private hosts, paths of somebody's machine."""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

# The hosts that a lock may name: each is the one public place of what it serves.
PUBLIC_HOSTS = frozenset(
    ("github.com", "codeload.github.com", "download.pytorch.org", "download.openmmlab.com")
)
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>,;]*")
_LOCAL_PATH = re.compile(r"(?<![\w./@:-])(?:~|\.\.?)?/(?:[\w.@+-]+/)*[\w.@+-]+|\b[A-Za-z]:\\\w")
_WORTH = 4  # a shorter word (`ci`, `apt`) is met everywhere by chance


def leaks(texts: Mapping[str, str], private: Iterable[str] = ()) -> tuple[str, ...]:
    """Say where `texts` (by file name) hold what is private, without repeating it.

    `private` are this host's own words: hosts of its mirrors, names, passwords, paths.
    """
    words = sorted(word for word in private if len(word) >= _WORTH and word not in PUBLIC_HOSTS)
    return tuple(
        f"{name}:{number}: {fault}"
        for name, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines(), start=1)
        for fault in _faults(line, words)
    )


def _faults(line: str, words: Iterable[str]) -> Iterator[str]:
    bare = line
    for match in _URL.finditer(line):
        bare = bare.replace(match[0], " ")
        if fault := _url_fault(match[0]):
            yield fault
    if _LOCAL_PATH.search(bare):
        yield "a path of a machine"
    if any(word in line for word in words):
        yield "a host, name, password or path of this machine's configuration"


def _url_fault(text: str) -> str | None:
    try:
        url = urlsplit(text)
        host, login = url.hostname, url.username or url.password
    except ValueError:
        return "a malformed URL"
    if login:
        return "a URL with credentials"
    if url.scheme != "https" or host not in PUBLIC_HOSTS:
        return "a URL of a host that is not public"
    return "a URL with a query" if url.query else None
