"""A gallery as a service or a command has it: encrypted, its key beside the data folder."""

from pathlib import Path

from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore


def keys_of(path: Path) -> KeySource:
    """Where the settings look for the key of a gallery at `path`, unless they say otherwise."""
    data = path.absolute().parent
    return KeySource(data.with_name(f"{data.name}-keys"))


def open_store(path: Path, keys: KeySource | None = None) -> PersonStore:
    """To enrol people behind a service's back, or to see what became of them. `keys`: None: those of `path`."""
    return PersonStore(path, keys or keys_of(path), actor="the test")
