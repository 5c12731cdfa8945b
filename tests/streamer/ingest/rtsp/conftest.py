"""What tests of the RTSP server share: a clock that they set, two cameras, the server over them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from streamer.ingest.publish.point import PublishPoint, PublishPoints
from streamer.ingest.rtsp.server import RtspServer
from streamer.settings import CameraSettings, RtspIngestSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.ingest.rtsp.publisher import close_all

DOOR = ("ada", "p@ss/:word")
HALL = ("hall", "other")  # its user is its name


class Time:
    """Monotonic, and stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def points(time: Time) -> PublishPoints:
    cameras = {
        "door": CameraSettings(url="publish://", user=DOOR[0], password=DOOR[1]),
        "hall": CameraSettings(url="publish://", password=HALL[1]),
    }
    return {name: PublishPoint(name, camera, time) for name, camera in cameras.items()}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def server(points: PublishPoints, metrics: Metrics, time: Time) -> AsyncIterator[RtspServer]:
    async with RtspServer(RtspIngestSettings(port=0), points, metrics, time) as opened:
        running = asyncio.create_task(opened.run(), name="rtsp ingest")
        yield opened
        await close_all()
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture
async def time_goes_by(time: Time) -> AsyncIterator[None]:
    """Fast."""

    async def pass_by() -> None:
        while True:
            time.pass_s(0.5)
            await asyncio.sleep(0.02)

    passing = asyncio.create_task(pass_by(), name="time goes by")
    yield
    passing.cancel()
    await asyncio.wait([passing])


Refusals = Callable[[str], float]


@pytest.fixture
def refusals(metrics: Metrics) -> Refusals:
    """How many were refused with this code."""

    def count(code: str) -> float:
        return metrics.registry.get_sample_value("whosthere_ingest_refused_total", {"code": code}) or 0.0

    return count
