"""A camera that is published to, from the first publisher to the last: its states, its events, its counters."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from recognition.recogniser import Recogniser
from streamer.events.event import Due
from streamer.events.outbox import Outbox
from streamer.ingest.publish.point import PublishPoint
from streamer.pipeline.camera import Camera, CameraStatus
from streamer.pipeline.camera_path import CameraPath
from streamer.pipeline.camera_trouble import FaceSizes
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import Tracker, TrackingRules
from streamer.pipeline.visits import Visits
from streamer.settings import CameraSettings, EventsSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.ingest.clips import camera_threads
from tests.streamer.ingest.publish.test_source import Publisher
from tests.streamer.ingest.rtp.packetiser import Clip, make_clip
from tests.streamer.pipeline.test_camera_path import ListOutbox, ScriptedGallery, ScriptedRecogniser
from tests.streamer.scripted import Face

BACK_WITHIN_S = 3.0  # frames of a publisher that is back


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip("h264", 40, (160, 96), bf="0", g="10")


class KeptOutbox(ListOutbox):
    def sighted(self, event_id: str, seen_at: float, seen_s: float) -> None:
        """Nobody asks here."""


class Seen:
    """A running camera, and all that it says."""

    def __init__(self, settings: CameraSettings) -> None:
        self.metrics, self.outbox = Metrics(), KeptOutbox()
        self.statuses: list[CameraStatus] = []
        self.point = PublishPoint("cam", settings)
        path = CameraPath(
            camera="cam",
            recogniser=cast(Recogniser, ScriptedRecogniser(lambda n: [Face(x=100)])),
            tracker=Tracker("cam", TrackingRules()),
            visits=Visits("cam", EventsSettings(), 0.15),
            live_gallery=cast(LiveGallery, ScriptedGallery()),
            outbox=cast(Outbox, self.outbox),
            metrics=self.metrics,
            frames_in_flight=3,
            least_score=0.25,
            face_sizes=FaceSizes(28.0),
        )
        self.camera = Camera(settings, path, lambda _, status: self.statuses.append(status), self.point)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(BACK_WITHIN_S):
            while not true():
                self.camera.watch()
                await asyncio.sleep(0.01)

    async def publish(self, clip: Clip) -> Publisher:
        """One whose pictures are all looked at."""
        publisher = Publisher(clip, self.point)
        for picture in publisher.pictures():
            before = self.counted("whosthere_frames_total", outcome="processed")
            publisher.publication.put(picture)
            await self.until(lambda b=before: self.counted("whosthere_frames_total", outcome="processed") > b)
        return publisher

    def is_(self, state: str, reason: str = "") -> Callable[[], bool]:
        return lambda: self.camera.status == CameraStatus(state, reason)

    def events(self) -> list[tuple[str, str | None]]:
        return [(due.event.type, due.event.end_reason) for due in cast(list[Due], self.outbox)]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, {"camera": "cam", **labels}) or 0.0


@asynccontextmanager
async def running(**settings: object) -> AsyncIterator[Seen]:
    seen = Seen(CameraSettings.model_validate({"url": "publish://", "password": "secret", "fps": 120, **settings}))
    task = asyncio.create_task(seen.camera.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert camera_threads() == []


async def test_publishers_that_come_and_go_in_quick_succession_are_each_seen(clip):
    async with running() as seen:
        await seen.until(seen.is_("offline", "no_publisher"))
        for number in range(1, 7):
            publisher = await seen.publish(clip)
            assert seen.camera.status == CameraStatus("online")
            publisher.go()
            await seen.until(seen.is_("offline", "no_publisher"))
            assert seen.events() == [("new", None), ("end", "camera_lost")] * number
        assert [status.reason for status in seen.statuses[:5]] == [
            "starting",
            "no_publisher",
            "",
            "stream_lost",
            "no_publisher",
        ]
        assert seen.counted("whosthere_camera_errors_total", code="stream_lost") == 6
    assert seen.statuses[-1] == CameraStatus("offline", "stopped")


async def test_a_publisher_that_falls_silent_is_stalled_then_lost_and_may_come_again(clip):
    async with running(stalled_after_s=0.2, read_timeout_s=0.6) as seen:
        publisher = await seen.publish(clip)
        await seen.until(seen.is_("stalled", "stream_stalled"))
        await seen.until(lambda: seen.camera.status.state == "offline")
        assert publisher.closed == 1
        await seen.publish(clip)
        assert seen.camera.status.state == "online"
    assert ("end", "camera_lost") in seen.events()


async def test_stopped_under_a_publisher_the_publisher_goes_as_well(clip):
    async with running() as seen:
        publisher = await seen.publish(clip)
        assert seen.events() == [("new", None)]
    assert publisher.closed == 1
    assert publisher.publication.is_over
    assert seen.events()[-1] == ("end", "stopped")


async def test_what_is_held_back_is_counted(clip):
    async with running() as seen:
        publisher = Publisher(clip, seen.point)
        publisher.send(40, lost={12, 25})
        await seen.until(seen.is_("online"))
        publisher.go()
        await seen.until(seen.is_("offline", "no_publisher"))
        assert seen.counted("whosthere_frames_total", outcome="held_back") == 7 + 4


async def test_a_disabled_one_takes_nobody():
    seen = Seen(CameraSettings.model_validate({"url": "publish://", "password": "secret", "enabled": False}))
    await seen.camera.run()
    assert seen.statuses == [CameraStatus("disabled")]
    assert not seen.point.is_taken
