"""An open gallery in a folder of its own, once plain and once encrypted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore


@pytest.fixture(params=["plain", "encrypted"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> KeySource | None:
    """Where the key is; None: there is none, the gallery is plain."""
    return KeySource(tmp_path / "keys") if request.param == "encrypted" else None


@pytest.fixture
def store(tmp_path: Path, keys: KeySource | None) -> Iterator[PersonStore]:
    with PersonStore(tmp_path / "data" / "gallery.db", keys, actor="the test") as opened:
        yield opened
