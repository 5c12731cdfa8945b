"""The running service: builds every object, opens them in order, owns the one TaskGroup, closes in reverse.

Settings go in; a Service to look at comes out while everything runs. Leaving the context is a clean stop: open
visits get their `end`, what is due is written and, if the broker is there, sent.
"""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from recognition.recogniser import Recogniser
from streamer.api.health import Part, Readiness, create_app, serve_http
from streamer.cameras import Camera, CameraStatus
from streamer.errors import AlreadyRunning, DataFolderUnwritable
from streamer.loop_lag import measure_loop_lag
from streamer.memory import limit_arenas
from streamer.metrics import Metrics
from streamer.model_layer import ModelLayer, open_models
from streamer.outbox import Outbox
from streamer.pipeline import CameraPath
from streamer.publish import Publisher
from streamer.roster import Roster
from streamer.settings import Settings
from streamer.supervise import supervise
from streamer.tracking import Tracker, TrackingRules
from streamer.visits import Visits

log = logging.getLogger(__name__)

WATCH_S = 0.25
UNSURE_SHARE = 0.6  # the tracker's second stage looks at detections down to this share of the threshold


@dataclass(slots=True, eq=False)
class Service:
    """What is running, for those who look at it: HTTP, the demo, tests, the benchmark."""

    settings: Settings
    metrics: Metrics
    models: ModelLayer
    roster: Roster
    outbox: Outbox
    publisher: Publisher
    cameras: list[Camera]
    http_port: int = 0

    @property
    def recogniser(self) -> Recogniser:
        return self.models.recogniser

    def readiness(self) -> Readiness:
        """What is ready and what is not, part by part, with the reason."""
        parts = [
            _models_part(self.models),
            Part("broker", self.publisher.connected, "" if self.publisher.connected else "not connected"),
            Part("outbox", self.outbox.healthy, "" if self.outbox.healthy else "can't be written"),
        ]
        for camera in self.cameras:
            status = camera.status
            fine = status.state in ("online", "disabled") or status.reason == "ended"
            parts.append(Part(f"camera {camera.name}", fine, "" if fine else f"{status.state}: {status.reason}"))
        return Readiness(tuple(parts), self.models.readiness())


@asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[Service]:
    """Everything opened and running until the context is left. Raises CodedErrors where it can't start."""
    limit_arenas()
    make_data_folder(settings.paths.data)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(settings.paths.data))
        models = await stack.enter_async_context(open_models(settings, metrics))
        recogniser = models.recogniser
        roster = await stack.enter_async_context(Roster.open(settings, recogniser, metrics))
        outbox = await stack.enter_async_context(
            Outbox(
                settings.outbox_path,
                limit=settings.events.outbox_limit,
                max_age_s=settings.events.outbox_max_age_h * 3600.0,
                metrics=metrics,
            )
        )
        publisher = Publisher(settings.mqtt, outbox, roster.name_of, metrics)
        service = Service(settings, metrics, models, roster, outbox, publisher, [])
        service.cameras = [_camera(name, service) for name in settings.cameras]
        await models.attach(roster, publisher.set_model)
        if settings.http.enabled:
            service.http_port = await stack.enter_async_context(
                serve_http(create_app(service), settings.http.host, settings.http.port)
            )
        async with asyncio.TaskGroup() as tasks:
            keep = [
                tasks.create_task(
                    supervise("broker", publisher.run, publisher.failed, longest_delay_s=10.0), name="publisher"
                ),
                tasks.create_task(roster.follow(publisher.clear_last_seen), name="gallery"),
                tasks.create_task(_watch(service), name="watch cameras"),
                tasks.create_task(models.run(), name="watch models"),
                tasks.create_task(models.keep_covered(), name="templates of the ladder"),
                tasks.create_task(measure_loop_lag(metrics, settings.metrics.loop_lag_interval_s), name="loop lag"),
            ]
            cameras = [tasks.create_task(c.run(), name=f"camera {c.name}") for c in service.cameras]
            try:
                yield service
            finally:
                await _cancel(cameras)
                await outbox.flush()
                await publisher.stop()
                await _cancel(keep)


def _camera(name: str, service: Service) -> Camera:
    path = camera_path(name, service.settings, service.recogniser, service.roster, service.outbox, service.metrics)

    def publish(camera: str, status: CameraStatus) -> None:
        service.publisher.set_camera_status(camera, status.state, status.reason)

    return Camera(service.settings.cameras[name], path, publish)


def camera_path(
    name: str, settings: Settings, recogniser: Recogniser, roster: Roster, outbox: Outbox, metrics: Metrics
) -> CameraPath:
    """Everything that one camera's frames meet, with a tracker and visits of its own."""
    sure = recogniser.detection_threshold
    rules = TrackingRules(
        sure_score=sure,
        min_face_px=settings.recognition.min_face_px,
        min_quality=settings.recognition.min_quality,
        # A track that its next sighting can't reach in time would never have a second one.
        gone_after_s=max(settings.events.gone_after_s, 3.0 / settings.cameras[name].fps),
        settle_s=settings.events.settle_s,
    )
    return CameraPath(
        camera=name,
        recogniser=recogniser,
        tracker=Tracker(name, rules),
        visits=Visits(name, settings.events, settings.recognition.min_quality),
        roster=roster,
        outbox=outbox,
        metrics=metrics,
        frames_in_flight=settings.recognition.frames_in_flight,
        least_score=sure * UNSURE_SHARE,
        waits=settings.cameras[name].pace == "fastest",
    )


def _models_part(layer: ModelLayer) -> Part:
    """Not ready where answers are useless; ready, and yet something to say, where a model had to go to the CPU."""
    if layer.fault is not None:
        return Part("models", False, layer.fault)
    fallbacks = [(served.name, served.fallback or switcher.fallback) for switcher, served in layer.seated()]
    return Part("models", True, "; ".join(f"{name} on the CPU: {found.why}" for name, found in fallbacks if found))


async def _watch(service: Service) -> None:
    """The slow clock of the service: silent cameras, last sightings, queue depths."""
    while True:
        for camera in service.cameras:
            camera.watch()
        for queue, depth in service.recogniser.queue_depths().items():
            service.metrics.queue_depth.labels(queue=queue).set(depth)
        await asyncio.sleep(WATCH_S)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks) if tasks else None


def make_data_folder(folder: Path) -> None:
    """Make the folder for gallery and outbox, for this user alone. Raises DataFolderUnwritable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise DataFolderUnwritable(
            f"data folder {folder} can't be used ({error.strerror}); make it writable or set paths.data"
        ) from None


@contextmanager
def _only_one(folder: Path) -> Iterator[IO[str]]:
    """Hold the data folder's lock: two services on one outbox would send everything twice."""
    try:
        opened = (folder / "lock").open("w")
    except OSError as error:
        raise DataFolderUnwritable(
            f"{folder / 'lock'} can't be written ({error.strerror}); give this user the files in paths.data"
        ) from None
    with opened as lock:
        for last in (False, False, True):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    raise AlreadyRunning(
                        f"another whosthere serves with data folder {folder}; stop it or set another paths.data"
                    ) from None
                time.sleep(0.02)  # service_runs() holds it for a moment
        yield lock


def service_runs(folder: Path) -> bool:
    """Whether a service runs with this data folder. Raises DataFolderUnwritable where its lock can't be read."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise DataFolderUnwritable(
            f"{folder / 'lock'} can't be read ({error.strerror}); give this user the files in paths.data"
        ) from None
    return False
