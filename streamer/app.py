"""The running service: builds every object, opens them in order, owns the tasks, closes in reverse.

Settings go in; a Service to look at comes out while everything runs. Leaving the context is a clean stop: open
visits get their `end`, what is due is written and, if the broker is there, sent.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from gallery.errors import GalleryError
from streamer.access.guard import Guard
from streamer.access.kept_sessions import SessionKeeper
from streamer.access.live_tokens import LiveTokens
from streamer.access.sessions import Sessions
from streamer.api.certificate import Certificate
from streamer.api.server import prepare_http
from streamer.api.streaming.live_events import LiveEvents
from streamer.events.event import IdentityEvent
from streamer.events.outbox import Outbox
from streamer.events.outbox_schema import refuse_newer
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtsp.server import RtspServer
from streamer.kept_visits.keeper import VisitKeeper
from streamer.live_view.view import LiveView
from streamer.model_layer.layer import open_models
from streamer.mqtt.home_assistant.ledger import read_ledger
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.second_will import FrigateAvailability
from streamer.pipeline.camera import Camera, CameraStatus, camera_path
from streamer.pipeline.camera_control import CameraControl
from streamer.pipeline.camera_path import tell
from streamer.pipeline.camera_set import CameraSet, Difference
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import key_source, let_go, limit_heaps, make_data_folder, only_one, store_of
from streamer.running.doors import open_doors
from streamer.running.service import Service as Service
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import Layers
from streamer.shedding.shedder import make_shedder
from streamer.steady import WallClock, steady_s
from streamer.supervise import supervise
from streamer.telemetry.disk_space import measure_disk
from streamer.telemetry.loop_lag import measure_loop_lag
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog
from streamer.telemetry.part_watch import PartWatch
from streamer.upkeep.daily import Upkeep

log = logging.getLogger(__name__)

WATCH_S = 0.25
BROKER_HOPELESS_DELAY_S = 5.0  # a login that is refused may be mended at any time, and trying it costs nothing


@dataclass(frozen=True, slots=True)
class Configured:
    """What a service was configured by, and how that is read again."""

    layers: Layers
    read: Callable[[], Layers]


@asynccontextmanager
async def running_service(
    settings: Settings, *, configured: Configured | None = None, own_broker: bool = False
) -> AsyncIterator[Service]:
    """Everything opened and running until the context is left. Raises CodedErrors where it can't start.

    configured: the settings' source, which is followed; None: the cameras stay as they are. own_broker: the broker is
    ours, and denies nothing.
    """
    limit_heaps()
    certificate = await prepare_http(settings.http)
    make_data_folder(settings.paths.data)
    async with AsyncExitStack() as stack:
        stack.enter_context(only_one(settings.paths.data))
        await asyncio.to_thread(refuse_newer, settings.outbox_path)
        service = await _opened(stack, settings, certificate, obeys=configured is not None, own_broker=own_broker)
        rtsp = await open_doors(stack, service)
        async with asyncio.TaskGroup() as tasks:
            service.live_gallery.classifier.is_wanted = settings.uses_classifier
            await service.live_gallery.classifier.look()
            cameras = CameraSet(tasks, partial(_camera, service), partial(_forget_camera, service))
            service.cameras = cameras.cameras
            await cameras.apply(settings.cameras)

            async def apply(wanted: Mapping[str, CameraSettings]) -> Difference:
                difference = await cameras.apply(wanted)
                await rtsp.follow()
                return difference

            following = []
            if configured is not None:
                service.control = CameraControl(configured.layers, settings, configured.read, apply)
                following = [tasks.create_task(service.control.run(), name="follow configuration")]
            keep = _keep_up(tasks, service, rtsp)
            try:
                yield service
            finally:
                await _cancel(following)
                await cameras.close()
                for name in list(service.points):  # nobody takes what is published from now on
                    _retire_point(service, name)
                await service.outbox.flush()
                await service.publisher.stop()
                await _cancel(keep)
                if service.sessions is not None:
                    await service.sessions.save()


async def _opened(
    stack: AsyncExitStack, settings: Settings, certificate: Certificate | None, *, obeys: bool, own_broker: bool
) -> Service:
    """All that cameras need, in order; nobody is let in yet. obeys: commands over MQTT."""
    metrics = Metrics()
    with suppress(GalleryError):  # there before the models are: a gallery that is missing now is gone
        store_of(settings).close()
    models = await stack.enter_async_context(open_models(settings, metrics))
    live_gallery = await stack.enter_async_context(LiveGallery.open(settings, models.recogniser, metrics))
    visits = VisitKeeper(
        settings.visits_path,
        key_source(settings),
        settings.events,
        metrics,
        encrypt=settings.gallery.encryption,
        is_enrolled=live_gallery.is_enrolled,
        signature_of=live_gallery.signature_of,
    )
    await stack.enter_async_context(visits)
    visits.forget(live_gallery.forgotten)  # also those whom a command forgot while the file could not be written
    outbox = Outbox(
        settings.outbox_path,
        limit=settings.events.outbox_limit,
        max_age_s=settings.events.outbox_max_age_h * 3600.0,
        metrics=metrics,
    )
    live_events = LiveEvents(live_gallery.name_now_of)
    outbox.hearers.append(live_events.put)

    def interrupted(event: IdentityEvent) -> None:
        visits.ended(event)
        live_events.put(event)

    outbox.interrupted = interrupted
    # The service may not have been there when they were forgotten.
    outbox.forget(live_gallery.forgotten)
    await stack.enter_async_context(outbox)

    def command(camera: str, enabled: bool) -> None:
        if service.control is not None:
            service.control.command(camera, enabled)

    publisher = Publisher(
        settings.mqtt,
        outbox,
        live_gallery.name_of,
        metrics,
        obey=command if obeys else None,
        person_ids=live_gallery.person_ids,
        is_ignored=lambda person_id: person_id in live_gallery.ignored,
        ledger=await asyncio.to_thread(read_ledger, settings.home_assistant_path),
        pool=models.recogniser.pool,
        own_broker=own_broker,
    )
    live_view = LiveView(live_gallery.name_of, metrics)
    tokens = LiveTokens(settings.tokens_path)
    await asyncio.to_thread(tokens.look)
    sessions = Sessions(tokens, settings.http.session_idle_h * 3600.0, settings.http.session_max_h * 3600.0)
    service = Service(
        settings,
        metrics,
        models,
        live_gallery,
        outbox,
        visits,
        publisher,
        live_view,
        [],
        tokens,
        Guard(tokens, metrics, sessions=sessions),
        Upkeep(settings),
        live_events,
        certificate=certificate,
    )
    service.sessions = SessionKeeper(sessions, settings.sessions_path)
    await asyncio.to_thread(service.sessions.read)
    service.shedder = make_shedder(settings.recognition, models.recogniser, metrics)
    models.shedder = service.shedder
    for name, camera in settings.cameras.items():
        publisher.add_camera(name, enabled=camera.enabled)
        _point(service, name, camera)
    publisher.forget(live_gallery.forgotten, earlier=True)  # the broker, or the service, may have been away
    await models.attach(live_gallery, publisher.set_model)
    return service


def _keep_up(tasks: asyncio.TaskGroup, service: Service, rtsp: RtspServer) -> list[asyncio.Task[None]]:
    """What runs beside the cameras, until the last event is out."""
    publisher, models, certificate = service.publisher, service.models, service.certificate
    broker = supervise(
        "broker", publisher.run, publisher.failed, longest_delay_s=10.0, hopeless_delay_s=BROKER_HOPELESS_DELAY_S
    )
    lag_every_s = service.settings.metrics.loop_lag_interval_s
    return [
        tasks.create_task(broker, name="publisher"),
        *_frigate(tasks, service),
        tasks.create_task(service.live_gallery.follow(partial(_gallery_changed, service)), name="gallery"),
        tasks.create_task(service.live_gallery.classifier.follow(), name="classifier"),
        tasks.create_task(service.visits.run(), name="kept visits"),
        tasks.create_task(service.live_gallery.check_file(service.settings), name="check of the gallery"),
        *_door_files(tasks, service),
        *([tasks.create_task(certificate.follow(), name="certificate")] if certificate else []),
        tasks.create_task(service.upkeep.run(), name="upkeep"),
        tasks.create_task(_watch(service), name="watch cameras"),
        tasks.create_task(service.live_view.run(), name="live view"),
        tasks.create_task(rtsp.run(), name="rtsp ingest"),
        tasks.create_task(models.run(), name="watch models"),
        tasks.create_task(models.keep_covered(), name="templates of the ladder"),
        tasks.create_task(measure_loop_lag(service.metrics, lag_every_s), name="loop lag"),
        tasks.create_task(measure_disk(service.settings.paths.data, service.metrics), name="disk space"),
    ]


def _door_files(tasks: asyncio.TaskGroup, service: Service) -> list[asyncio.Task[None]]:
    if not service.settings.http.enabled:
        return []
    assert service.sessions is not None
    return [
        tasks.create_task(service.tokens.follow(), name="tokens"),
        tasks.create_task(service.sessions.follow(), name="sessions"),
    ]


def _frigate(tasks: asyncio.TaskGroup, service: Service) -> list[asyncio.Task[None]]:
    mqtt = service.settings.mqtt
    if not mqtt.frigate.enabled:
        return []
    second = FrigateAvailability(mqtt, mqtt.client_id or service.outbox.client_id)
    keep = supervise(
        "frigate", second.run, second.failed, longest_delay_s=10.0, hopeless_delay_s=BROKER_HOPELESS_DELAY_S
    )
    return [tasks.create_task(keep, name="frigate's availability")]


def _camera(service: Service, name: str, camera: CameraSettings) -> Camera:
    """One that is about to run: there from the start, added, or changed."""
    settings = service.settings.model_copy(update={"cameras": {name: camera}})
    service.live_gallery.classifier.is_wanted |= camera.names != "gallery"
    path = camera_path(
        name,
        settings,
        service.recogniser,
        service.live_gallery,
        service.outbox,
        service.metrics,
        service.live_view.view(name, camera.fps),
        service.visits.camera(name, keeps=camera.snapshots),
        service.publisher.last_faces,
        service.shedder,
    )
    service.publisher.add_camera(name, enabled=camera.enabled)

    def publish(camera: str, status: CameraStatus) -> None:
        service.publisher.set_camera_status(camera, status.state, status.reason)
        service.live_view.became(camera, status)

    return Camera(camera, path, publish, _point(service, name, camera))


def _point(service: Service, name: str, camera: CameraSettings) -> PublishPoint | None:
    """Its own, where it is published to; whoever publishes to the camera that it was is sent away."""
    before = service.points.get(name)
    if before is not None and before.camera == camera:
        return before
    _retire_point(service, name)
    if not camera.is_published:
        return None
    point = service.points[name] = PublishPoint(name, camera)
    return point


def _retire_point(service: Service, name: str) -> None:
    if name in service.points:
        service.points.pop(name).retire()
        service.metrics.publishers.labels(camera=name).set(0)


def _gallery_changed(service: Service, gone: Iterable[str]) -> None:
    """Somebody was enrolled, renamed or forgotten. Of who is forgotten nothing is kept or told from now on."""
    forgotten = service.outbox.forget(service.live_gallery.forgotten)
    service.live_events.gallery_changed(forgotten, service.live_gallery.renamed)
    service.visits.forget(forgotten)  # not who is gone because the gallery was replaced: nobody has asked for that
    if forgotten:
        service.answers.forget(forgotten)
        for camera in service.cameras:
            tell(camera.path.visits.forget(forgotten), camera.path)
        service.publisher.forget(forgotten)
        if service.inference is not None:
            service.inference.forget()
        if service.desk is not None:
            service.desk.forget()
        if service.review is not None:
            service.review.forget()
    service.publisher.gallery_changed(gone)


def _forget_camera(service: Service, name: str) -> None:
    """It was removed: nothing is told of it any more."""
    _retire_point(service, name)
    service.live_view.removed(name)
    service.visits.removed(name)
    service.publisher.remove_camera(name)
    if service.shedder is not None:
        service.shedder.forget(name)
    service.metrics.forget_camera(name)


async def _watch(service: Service) -> None:
    """The slow clock of the service: memory, silent cameras, last sightings, queue depths, a wall clock that is set."""
    once = OnceLog(log)
    parts = PartWatch(service.metrics)
    clock = WallClock(time.time(), steady_s())
    while True:
        if step_s := clock.step(time.time(), steady_s()):
            log.warning("the system's clock was set by %+.0f s", step_s, extra={"code": "clock_set"})
            service.metrics.clock_steps.inc()
            service.publisher.clock_stepped(step_s)
            service.visits.clock_stepped()
        for camera in service.cameras:
            camera.watch()
        for name, point in service.points.items():
            service.metrics.publishers.labels(camera=name).set(point.is_taken)
        cameras, overload = service.cameras, service.overload
        online = sum(camera.status.state == "online" for camera in cameras)
        asked, dropped = sum(camera.asked for camera in cameras), sum(camera.dropped for camera in cameras)
        overload.look(time.monotonic(), asked, dropped, online)
        if overload.reason is None:
            once.over("overload")
        else:
            once.say("overload", True, logging.WARNING, "%s", overload.reason, code="overloaded")
        parts.tell(service.parts(), None if service.certificate is None else service.certificate.until_s)
        for queue, depth in service.recogniser.queue_depths().items():
            service.metrics.queue_depth.labels(queue=queue).set(depth)
        await asyncio.to_thread(let_go)
        await asyncio.sleep(WATCH_S)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks) if tasks else None
