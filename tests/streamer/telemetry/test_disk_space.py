"""The room of the data folder's disk: as the system tells it, and NaN where the folder is away."""

import asyncio
import math
import shutil

from streamer.telemetry import disk_space
from streamer.telemetry.disk_space import measure_disk
from streamer.telemetry.metrics import Metrics
from tests.live.service import until


async def test_the_disk_is_measured_and_a_folder_that_is_away_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space, "LOOK_S", 0.01)
    metrics = Metrics()
    folder = tmp_path / "data"
    folder.mkdir()
    task = asyncio.create_task(measure_disk(folder, metrics))
    try:

        def size() -> float:
            return metrics.registry.get_sample_value("whosthere_disk_size_bytes") or 0.0

        await until(lambda: size() == shutil.disk_usage(tmp_path).total)
        free = metrics.registry.get_sample_value("whosthere_disk_free_bytes")
        assert free is not None
        assert 0 < free <= size()
        folder.rmdir()
        await until(lambda: math.isnan(size()))
        folder.mkdir()
        await until(lambda: size() > 0)
    finally:
        task.cancel()
