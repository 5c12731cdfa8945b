"""A folder with a configuration, and a gallery in it with people made of numbers, as commands find one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from gallery.portable import PortablePerson
from gallery.storage.store import PersonStore
from streamer.process import store_of
from streamer.settings_reading import load


def seeded(home: Path, people: Iterable[PortablePerson] = (), **config: Any) -> Path:
    """Writes whosthere.yaml, and enrols these people."""
    home.mkdir(exist_ok=True)
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"port": 1}} | config))
    with opened(home) as store:
        for person in people:
            store.add_portable(person)
    return home


def opened(home: Path) -> PersonStore:
    """The gallery of that folder's configuration."""
    return store_of(load(home / "whosthere.yaml"), actor="the test")
