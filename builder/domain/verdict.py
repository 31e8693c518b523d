"""What a judgement can come to; unknown is one of them, never a silent pass."""

from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of holding facts against a policy."""

    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"
