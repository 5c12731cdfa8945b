"""What tests of the publisher share: an outbox of their own, and its metrics; of cameras: all that is shown."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.events.outbox import Outbox
from streamer.ingest.frame import Frame
from streamer.ingest.publish import source as source_module
from streamer.ingest.slot import LatestSlot
from streamer.telemetry.metrics import Metrics
from tests.live.mosquitto import Mosquitto
from tests.live.subscriber import Subscriber


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running


@pytest.fixture
async def heard(broker: Mosquitto, tmp_path: Path) -> AsyncIterator[Subscriber]:
    with Subscriber(broker.port, tmp_path) as subscriber:
        await subscriber.catch_up()
        yield subscriber


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def outbox(tmp_path: Path, metrics: Metrics) -> AsyncIterator[Outbox]:
    async with Outbox(tmp_path / "outbox.db", limit=10_000, max_age_s=1e9, metrics=metrics) as opened:
        yield opened


@pytest.fixture
def shown(monkeypatch) -> list[NDArray[np.uint8]]:
    """Every picture that reaches the camera's slot, taken or not."""
    pictures: list[NDArray[np.uint8]] = []

    class Watched(LatestSlot):
        def offer(self, frame: Frame) -> bool:
            pictures.append(frame.image.luma())
            return super().offer(frame)

    monkeypatch.setattr(source_module, "LatestSlot", Watched)
    return pictures
