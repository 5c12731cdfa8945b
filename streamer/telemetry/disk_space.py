"""How much room the disk of the data folder has, as metrics. On the event loop; the disk is asked on a thread."""

import asyncio
import shutil
from pathlib import Path

from streamer.telemetry.metrics import Metrics

LOOK_S = 15.0


async def measure_disk(folder: Path, metrics: Metrics) -> None:
    """Looks again and again; NaN while the folder can't be looked at. Never returns."""
    while True:
        try:
            found = await asyncio.to_thread(shutil.disk_usage, folder)
        except OSError:
            free, size = float("nan"), float("nan")
        else:
            free, size = found.free, found.total
        metrics.disk_free.set(free)
        metrics.disk_size.set(size)
        await asyncio.sleep(LOOK_S)
