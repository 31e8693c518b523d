"""Image names that can be trusted: always a digest, the tag only for people."""

import re
from dataclasses import dataclass

from builder.errors import DataError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """One image, by manifest digest; `tag` is what people call it."""

    tag: str
    digest: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            message = f"{self.tag}: {self.digest!r} is not a sha256 digest"
            raise DataError(message)
