"""The RTSP server for cameras that push, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtsp.server import RtspServer
from streamer.settings import RtspIngestSettings
from streamer.telemetry.metrics import Metrics

PASSWORD = "secret"
SETTINGS = {"password": PASSWORD, "fps": 120, "stalled_after_s": 0.6}  # of a camera


@asynccontextmanager
async def served(*points: PublishPoint) -> AsyncIterator[int]:
    """The RTSP server's port."""
    named = {point.name: point for point in points}
    async with RtspServer(RtspIngestSettings(port=0), named, Metrics()) as server:
        task = asyncio.create_task(server.run(), name="rtsp ingest")
        try:
            yield server.port
        finally:
            task.cancel()
            await asyncio.wait([task])
