"""The one error root: what went wrong, what to do, and which exit code tells it."""

from typing import ClassVar


class CellarError(Exception):
    """A foreseen failure, shown to the user as one line and a hint; anything else is a bug."""

    exit_code: ClassVar[int] = 1
    meaning: ClassVar[str] = "a check found problems"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(CellarError):
    """A request that no cell, option or file can serve."""

    exit_code = 2
    meaning = "the request cannot be served: unknown cell, version, level or option"


class HostError(CellarError):
    """A host that lacks a tool, a right, a GPU or a driver."""

    exit_code = 3
    meaning = "this host lacks a tool, a right, a GPU or a driver"


class NetworkError(CellarError):
    """Inputs that could not be reached."""

    exit_code = 4
    meaning = "inputs could not be reached"


class IntegrityError(CellarError):
    """Bytes that are not what the lock says."""

    exit_code = 5
    meaning = "bytes differ from their locked hash or size"


class StorageError(CellarError):
    """A disk that is full, read-only or not ours to write."""

    exit_code = 6
    meaning = "the disk is full, read-only or not writable"


class EngineError(CellarError):
    """A container engine that is absent, too old, or refused."""

    exit_code = 7
    meaning = "the container engine is absent, too old, or a build failed in it"


class VerificationError(CellarError):
    """An image that was built, but did not prove what it must."""

    exit_code = 8
    meaning = "an image failed verification, audit or reproduction"


class DataError(CellarError):
    """Faults in a data file (matrix, image, lock, edits, waivers), all of them in one message."""

    exit_code = 9
    meaning = "a data file (matrix, image, lock, edits) has faults"
