"""Range requests: what to ask for, and what an answer means for the bytes that we already have."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http import HTTPStatus

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_LONGEST_WAIT_S = 120.0


class Answer(Enum):
    """What a response means."""

    CONTINUES = auto()  # its body follows on what we have
    BEGINS = auto()  # its body is the whole file
    MISMATCHES = auto()  # it is a part that does not fit: start anew
    LATER = auto()  # try again after a while
    NEVER = auto()  # this place does not have it, or does not give it


def request_headers(offset: int, validator: str | None) -> dict[str, str]:
    """Ask for the bytes from `offset` on, if the file still is the one under `validator`."""
    headers = {"Accept-Encoding": "identity"}  # the bytes as they are stored, not recompressed
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    return headers


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what identifies this version of the file: a strong ETag, else its date, else None."""
    etag = headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("last-modified") or None


def judge(
    status: int, headers: Mapping[str, str], *, offset: int, validator: str | None, size: int | None
) -> Answer:
    """Say what an answer to a request from `offset` means; `size` is the locked one, in bytes."""
    if status == HTTPStatus.OK:
        return Answer.BEGINS
    if status == HTTPStatus.PARTIAL_CONTENT:
        fits = offset > 0 and _follows(headers, offset=offset, validator=validator, size=size)
        return Answer.CONTINUES if fits else Answer.MISMATCHES
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return Answer.MISMATCHES
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Answer.LATER
    return Answer.NEVER


def _follows(
    headers: Mapping[str, str], *, offset: int, validator: str | None, size: int | None
) -> bool:
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    if not found or int(found[1]) != offset:
        return False
    if size is not None and found[3] != "*" and int(found[3]) != size:
        return False
    return validator_of(headers) in (None, validator)


def body_length(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the body is said to have, or None where that means nothing."""
    stated = headers.get("content-length", "")
    return int(stated) if stated.isdecimal() and "content-encoding" not in headers else None


def wait_of(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for (at most two minutes), or None."""
    stated = headers.get("retry-after", "").strip()
    if stated.isdecimal():
        return min(float(stated), _LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(stated).timestamp()
    except (ValueError, TypeError):
        return None
    return min(max(moment - now, 0.0), _LONGEST_WAIT_S)
