"""An open gallery in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gallery.storage.store import PersonStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PersonStore]:
    with PersonStore(tmp_path / "gallery.db") as opened:
        yield opened
