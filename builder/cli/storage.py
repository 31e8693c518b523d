"""Where the store is, and what a fetch and the care of a store are made of."""

from functools import cache, partial
from pathlib import Path

import platformdirs

from builder.adapters import environment, files
from builder.adapters.storage.disk import HostDisk, engine_path
from builder.adapters.storage.store import Store
from builder.cli import wiring
from builder.commands.fetch import Network, Tools
from builder.domain.lockfile import Lock
from builder.errors import DataError


def folder() -> Path:
    """Return CELLAR_STORE, or the store in the user's cache directory."""
    chosen = environment.variable("CELLAR_STORE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("cellar") / "store"


@cache
def store() -> Store:
    """Return the store of this process."""
    return Store(folder())


def fetch_tools() -> Tools:
    """Return what a fetch works with."""
    return Tools(
        store=store(),
        network=network,
        disk=HostDisk(),
        progress=wiring.progress(),
        engine_path=engine_path(),
    )


@cache
def network() -> Network:
    """Ask this host for its channels, and return what reaches them."""
    # Imported here: the HTTP stack takes a third of a second that a full store need not spend.
    from builder.adapters.network.channel_settings import read_settings  # noqa: PLC0415
    from builder.adapters.network.channels import Channels  # noqa: PLC0415
    from builder.adapters.network.download import Downloads  # noqa: PLC0415
    from builder.adapters.network.http import async_client  # noqa: PLC0415

    task = wiring.progress().task("asking pip and apt where this host gets packages")
    settings = read_settings()
    task.finish()
    return Network(
        finder=Channels(settings),
        downloader=Downloads(store(), partial(async_client, settings)),
    )


def all_locks() -> list[Lock]:
    """Return every lock of this checkout, also those older than the matrix.

    One that cannot be read is a DataError: what it needs would be unknown.
    """
    locks = []
    for path in sorted((wiring.root() / "lock").glob("*/*/lock.json")):
        reading = files.read_lock(path.parent)
        if reading.lock is None or reading.faults:
            where = path.parent.relative_to(wiring.root())
            message = "\n".join(f"{where}/{fault}" for fault in reading.faults)
            raise DataError(message, hint=f"make it anew: `make lock CELL={path.parent.name}`")
        locks.append(reading.lock)
    return locks
