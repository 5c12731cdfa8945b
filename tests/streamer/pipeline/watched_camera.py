"""A published camera over scripted faces, with all that it says: states, events, counters. No models, no broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

from recognition.recogniser import Recogniser
from streamer.events.event import Due
from streamer.events.outbox import Outbox
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.point import PublishPoint
from streamer.pipeline.camera import Camera, CameraStatus
from streamer.pipeline.camera_path import CameraPath
from streamer.pipeline.camera_trouble import FaceSizes
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import Tracker, TrackingRules
from streamer.pipeline.visits import Visits
from streamer.settings import CameraSettings, EventsSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.ingest.clips import assert_no_camera_thread
from tests.streamer.ingest.publish.test_source import Publisher
from tests.streamer.ingest.rtp.packetiser import Clip
from tests.streamer.pipeline.test_camera_path import ListOutbox, ScriptedGallery, ScriptedRecogniser
from tests.streamer.scripted import Face

BACK_WITHIN_S = 3.0  # frames of a publisher that is back


class KeptOutbox(ListOutbox):
    def sighted(self, event_id: str, seen_at: float, seen_s: float) -> None:
        """Nobody asks here."""


class Watched:
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

    async def until(self, true: Callable[[], bool], within_s: float = BACK_WITHIN_S) -> None:
        async with asyncio.timeout(within_s):
            while not true():
                self.camera.watch()
                await asyncio.sleep(0.01)

    async def publish(self, clip: Clip) -> Publisher:
        """One whose pictures are all taken: looked at, or quiet."""
        publisher = Publisher(clip, self.point)
        for picture in publisher.pictures():
            before = self._taken()
            came = Instant(time.time(), time.monotonic())  # or it would be too late to be of use
            publisher.publication.put(replace(picture, at=came))
            await self.until(lambda b=before: self._taken() > b)
        return publisher

    def _taken(self) -> float:
        return sum(self.counted("whosthere_frames_total", outcome=outcome) for outcome in ("processed", "quiet"))

    def is_(self, state: str, reason: str = "") -> Callable[[], bool]:
        return lambda: self.camera.status == CameraStatus(state, reason)

    def events(self) -> list[tuple[str, str | None]]:
        return [(due.event.type, due.event.end_reason) for due in cast(list[Due], self.outbox)]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, {"camera": "cam", **labels}) or 0.0


@asynccontextmanager
async def running(**settings: object) -> AsyncIterator[Watched]:
    seen = Watched(CameraSettings.model_validate({"url": "publish://", "password": "secret", "fps": 120, **settings}))
    task = asyncio.create_task(seen.camera.run())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert_no_camera_thread()
