"""How much room the file systems of this host have."""

import os
from pathlib import Path

from builder.adapters.storage.folder import storage_errors
from builder.domain.fetch import Room

# Where engines unpack images, first match wins; a rootless engine keeps them in the home.
_ENGINE_PATHS = ("/var/lib/containerd", "/var/lib/docker", "/var/lib/containers")


class HostDisk:
    """The real file systems."""

    def room(self, path: Path) -> Room:
        """Return how much the file system takes that holds (or will hold) `path`."""
        there = path
        while not there.exists():
            there = there.parent
        with storage_errors(path):
            found = os.statvfs(there)
            return Room(path=path, disk=there.stat().st_dev, free=found.f_bavail * found.f_frsize)


def engine_path() -> Path:
    """Return where the engine of this host will most likely unpack an image."""
    for name in _ENGINE_PATHS:
        if os.access(name, os.W_OK):
            return Path(name)
    return Path.home()
