"""What a kept visit costs: CPU time of the writer's thread and of the loop, and the longest that the loop was held up.

A clip goes in, played in real time through the service's own path for a while; everybody in it is kept.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gallery.keys.master_key import KeySource
from recognition.arrays import F32
from recognition.image import Image
from recognition.recogniser import Recogniser, open_recogniser
from streamer.bench.clips import with_gap
from streamer.errors import BenchFailed
from streamer.events.event import Due
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.kept_visits.camera_visits import CameraVisits
from streamer.kept_visits.keeper import VisitKeeper
from streamer.model_layer.setup import recogniser_config
from streamer.pipeline.camera import camera_path
from streamer.pipeline.camera_path import CameraPath, close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.settings import CameraSettings, EventsSettings, Settings
from streamer.telemetry.metrics import Metrics

T = TypeVar("T")

CAMERA = "bench"
WARM_UP_S = 4.0  # the file is made, the first pictures bring OpenCV's tables into the caches
GONE_AFTER_S = 0.5  # well under the black second at the end of each lap


@dataclass(frozen=True, slots=True)
class VisitCost:
    """Per visit that was kept, in ms of CPU time: all of it, and the loop's part. kib: what one takes on the disk.

    loop_longest_ms: of the wall clock, the longest that one call held up the loop.
    """

    visits: int
    cpu_ms: float
    loop_cpu_ms: float
    loop_longest_ms: float
    kib: float


class _Timed(CameraVisits):
    """Remembers what its calls cost the loop."""

    def __init__(self, kept: CameraVisits) -> None:
        vars(self).update(vars(kept))
        self.cpu_s = self.longest_s = 0.0

    def seen(
        self, track_id: str, image: Image, landmarks: F32, quality: float, embedding: F32, model: str, space: str
    ) -> None:
        self._timed(lambda: CameraVisits.seen(self, track_id, image, landmarks, quality, embedding, model, space))

    def told(self, due: Due) -> Due:
        return self._timed(lambda: CameraVisits.told(self, due))

    def gone(self, track_id: str) -> None:
        self._timed(lambda: CameraVisits.gone(self, track_id))

    def _timed(self, call: Callable[[], T]) -> T:
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        try:
            return call()
        finally:
            self.cpu_s += time.thread_time() - started_cpu_s
            self.longest_s = max(self.longest_s, time.perf_counter() - started_s)


async def run_visits(
    settings: Settings, clip: Path, folder: Path, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everybody in the clip, again and again; `folder` is there. Raises BenchFailed where that is nobody."""
    say(f"kept visits: one camera at 10 fps for {seconds:.0f} s")
    lap = await asyncio.to_thread(partial(with_gap, clip, folder / "lap.mp4", most_height=1080))
    camera = CameraSettings(url=str(lap), fps=10.0, loop=True, snapshots=True)
    settings = settings.model_copy(
        update={
            "paths": settings.paths.model_copy(update={"data": folder}),
            "cameras": {CAMERA: camera},
            "events": EventsSettings(keep_unknown_h=1.0, gone_after_s=GONE_AFTER_S),
        }
    )
    async with open_recogniser(recogniser_config(settings)) as recogniser:
        cost = await _measured(settings, recogniser, seconds)
    return {"kept_visits": {key: round(value, 3) for key, value in asdict(cost).items()}}


async def _measured(settings: Settings, recogniser: Recogniser, seconds: float) -> VisitCost:
    metrics = Metrics()
    outbox = Outbox(settings.outbox_path, limit=100_000, max_age_s=3600.0, metrics=metrics)
    async with LiveGallery.open(settings, recogniser, metrics) as live_gallery, outbox:
        keeper = VisitKeeper(
            settings.visits_path,
            KeySource(settings.paths.data / "keys"),
            settings.events,
            metrics,
            encrypt=True,
            is_enrolled=live_gallery.is_enrolled,
            signature_of=live_gallery.signature_of,
        )
        async with keeper:
            kept = keeper.camera(CAMERA, keeps=True)
            assert kept is not None
            timed = _Timed(kept)
            path = camera_path(CAMERA, settings, recogniser, live_gallery, outbox, metrics)
            path = replace(path, keeps=timed)
            (writer,) = (thread for thread in threading.enumerate() if thread.name.startswith("kept visits"))
            clock = time.pthread_getcpuclockid(writer.ident or 0)
            await _play(path, settings.cameras[CAMERA], WARM_UP_S)
            before = _spent(clock, timed, metrics)
            timed.longest_s = 0.0
            await _play(path, settings.cameras[CAMERA], seconds)
            close_visits(path, "ended")
            await _written(metrics)
            after = _spent(clock, timed, metrics)
    cpu_s, loop_s, visits = (now - then for now, then in zip(after, before, strict=True))
    if not visits:
        raise BenchFailed("nobody was kept; choose a clip with faces")
    return VisitCost(
        visits=int(visits),
        cpu_ms=1000.0 * (cpu_s + loop_s) / visits,
        loop_cpu_ms=1000.0 * loop_s / visits,
        loop_longest_ms=1000.0 * timed.longest_s,
        kib=_value(metrics, "whosthere_visits_bytes") / 1024.0 / (visits + before[2]),
    )


async def _play(path: CameraPath, camera: CameraSettings, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), open_source(CAMERA, camera, camera.url) as source:
            await run_camera(source.take, path)


def _spent(clock: int, timed: _Timed, metrics: Metrics) -> tuple[float, float, float]:
    """CPU s of the writer and of the loop, visits kept; so far."""
    return time.clock_gettime(clock), timed.cpu_s, _value(metrics, "whosthere_visits_kept_total")


async def _written(metrics: Metrics) -> None:
    """Until the last visits are on the disk: their file has not grown for longer than they wait."""
    before = -1.0
    for _ in range(20):
        if before == (before := _value(metrics, "whosthere_visits_bytes")):
            return
        await asyncio.sleep(2.5)


def _value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0
