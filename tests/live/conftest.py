"""What tests of the publisher share: an outbox of their own, and its metrics."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.events.outbox import Outbox
from streamer.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def outbox(tmp_path: Path, metrics: Metrics) -> AsyncIterator[Outbox]:
    async with Outbox(tmp_path / "outbox.db", limit=10_000, max_age_s=1e9, metrics=metrics) as opened:
        yield opened
