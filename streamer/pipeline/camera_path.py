"""One camera's data path, from the newest frame to events in the outbox: read run_camera() and walk() downwards.

Frames come in from a Source, events go out to the outbox. Runs on the loop; what is heavy happens on the CPU
pool and the runners' threads inside the Recogniser and the LiveGallery. A few frames are on their way at once, and
pass two places (tracking, deciding) in the order in which they were taken.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gallery.errors import FaceDoubtful, FaceNotUpright
from recognition.embed import usable as usable_rows
from recognition.errors import CodedError, EmbeddingUnusable, Overloaded
from recognition.recogniser import Embedded, Found, Recogniser
from recognition.second_look import Looked
from streamer.errors import CameraError, StreamResized
from streamer.events.event import Due, EndReason, LatencyMs
from streamer.events.outbox import Outbox
from streamer.ingest.frame import Frame
from streamer.ingest.stream import StreamEnded
from streamer.kept_visits.camera_visits import CameraVisits
from streamer.looking.detector_gate import DetectorGate
from streamer.looking.looking import Looking
from streamer.looking.promptness import Promptness
from streamer.motion.attention import Attention
from streamer.pipeline.camera_trouble import FaceSizes
from streamer.pipeline.close_watch import CloseWatch
from streamer.pipeline.frame_walk import Walk, observe
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.outage_log import OutageLog, Step
from streamer.pipeline.sequencer import Sequencer, Turn
from streamer.pipeline.tracking import Sighting, Track, Tracker
from streamer.pipeline.visits import Moment, Visits
from streamer.pipeline.watching import Onlooker, Watcher, tell_faces, tell_same_faces
from streamer.settings import Names
from streamer.shedding.shedder import NOWHERE, Place, Share
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

Seen = tuple[Track, NDArray[np.float32]]  # a track and its box in one frame
TILTED_PERHAPS = 15.0  # degrees of roll: detectors tell less than a tilted head has
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class CameraPath:
    """Everything that one camera's frames meet on their way; tracker and visits are this camera's own."""

    camera: str
    recogniser: Recogniser
    tracker: Tracker
    visits: Visits
    live_gallery: LiveGallery
    outbox: Outbox
    metrics: Metrics
    frames_in_flight: int
    least_score: float
    face_sizes: FaceSizes
    waits: bool = False  # pace fastest: what can't be run now is tried again, no frame is skipped
    share: Share | None = None  # of what all cameras can have done in time; None: nothing is shed
    outages: OutageLog = field(default_factory=OutageLog)
    close_watch: CloseWatch = field(default_factory=CloseWatch)
    watcher: Watcher | None = None
    keeps: CameraVisits | None = None  # where its visits are kept
    onlooker: Onlooker | None = None
    names: Names = "gallery"  # whose word a name is
    attention: Attention = field(default_factory=Attention)
    looking: Looking = field(default_factory=Looking)
    promptness: Promptness = field(default_factory=Promptness)
    within: Callable[[Found, int, int], Found] | None = None  # faces that count, of a picture of that size; None: all


async def run_camera(
    take: Callable[[], Awaitable[Frame]], path: CameraPath, peek: Callable[[], Awaitable[Frame | None]] | None = None
) -> None:
    """Walk the frames that a source's take() gives, but for quiet ones, until it raises; then let those on their way
    arrive.

    peek: the source's, where the camera has a share of what can be done: a frame waits for its place in the source,
    and gives way to a newer one there.
    """
    frame: Frame | None = None
    in_flight = asyncio.Semaphore(path.frames_in_flight)
    turns = Sequencer()
    gate = DetectorGate(path.camera, path.looking, path.attention, path.metrics)
    async with asyncio.TaskGroup() as walks:
        while True:
            frame = None  # while the next one is waited for it would be one picture more for each camera
            await in_flight.acquire()
            place = NOWHERE
            try:
                if peek is not None and may_be_worked_on(await peek(), path, gate):
                    place = await place_for(path)
                frame = await take()
                if not is_let_in(frame, path, gate):
                    _walked(in_flight, place, None)
                    continue
                if place is NOWHERE and peek is not None:
                    place = await place_for(path)
                task = walks.create_task(walk(frame, path, turns.next(), place), name=f"{path.camera}/{frame.number}")
                task.add_done_callback(partial(_walked, in_flight, place))
            except (CameraError, StreamEnded) as over:
                place.leave()
                reason = over
                break
            except BaseException:  # its camera is stopped, or there is a fault
                place.leave()
                raise
    try:
        raise reason
    finally:
        del reason, frame  # or the error, its traceback and the last picture would hold one another


def may_be_worked_on(frame: Frame | None, path: CameraPath, gate: DetectorGate) -> bool:
    """Whether a frame needs a place, or is over in no time. None: there is none any more."""
    return frame is not None and gate.would_let_in(frame, path.tracker.tracks, path.live_gallery.generation)


def is_let_in(frame: Frame, path: CameraPath, gate: DetectorGate) -> bool:
    """Whether the detector looks at it; who watches is told of it in any case."""
    if path.watcher is not None:
        path.watcher.taken(frame)
    is_watched = path.watcher is not None and path.watcher.looks
    if gate.lets_in(frame, path.tracker.tracks, path.live_gallery.generation, is_watched=is_watched):
        return True
    if path.looking.is_settled:
        tell_same_faces(path.watcher, frame, path.tracker, path.visits)
    return False


async def place_for(path: CameraPath) -> Place:
    """Among the frames of all cameras that are worked on, as soon as it is this camera's turn."""
    return NOWHERE if path.share is None else await path.share.place()


def _walked(in_flight: asyncio.Semaphore, place: Place, _: object) -> None:
    in_flight.release()
    place.leave()


async def walk(frame: Frame, path: CameraPath, turn: Turn, place: Place = NOWHERE) -> None:
    """One frame, from picture to events. What each step does, and what happens when it can't keep up: the steps."""
    taken_s = time.monotonic()
    async with turn:
        found = await detect(frame, path)
        if found is None:
            return
        async with turn.tracking():
            to_embed, judge_again = track(frame, found, path)
        known = Walk(frame, taken_s, found)
        to_embed = await upright(known, to_embed, path)
        known.embedded = await embed(frame, known.found, to_embed, path)
        if known.embedded or judge_again:
            async with turn.deciding():
                due = await identify(known, to_embed, judge_again, path)
                if due and path.onlooker is not None:
                    await path.onlooker.told(path.camera, frame.image, due)
                tell(due, path)
                if path.keeps is not None:
                    keep_faces(path.keeps, known, path)
    path.promptness.looked(None if path.waits else frame.captured_s)
    place.done(frame.captured_s, None if known.embedded is None else known.embedded.queue_s + known.embedded.run_s)
    observe(known, path.camera, path.metrics)


async def detect(frame: Frame, path: CameraPath) -> Found | None:
    """Convert, prepare, batch with other cameras' frames, run, parse; None where that can't be done now.

    Once more where a face may fill the picture.
    """

    def ask() -> Awaitable[Found]:
        return path.recogniser.glance(frame.image, lane=path.camera, least_score=path.least_score)

    def ask_close() -> Awaitable[Found]:
        return path.recogniser.close_up(frame.image, seen, lane=path.camera, least_score=path.least_score)

    found = await attempt(ask, "detect", frame, path)
    if isinstance(found, Found) and path.close_watch.due(found, frame.captured_s):
        seen = found
        found = await attempt(ask_close, "detect", frame, path)
        if isinstance(found, Found):
            path.close_watch.looked(found, path.tracker.rules.sure_score, frame.captured_s)
    if isinstance(found, CodedError):
        fate = "skipped" if isinstance(found, Overloaded) else "failed"
        path.metrics.frames.labels(camera=path.camera, outcome=fate).inc()
        path.looking.missed()
        path.promptness.dropped()
        return None
    return found if path.within is None else path.within(found, frame.width, frame.height)


async def attempt(ask: Callable[[], Awaitable[T]], step: Step, frame: Frame, path: CameraPath) -> T | CodedError:
    """What the model answers, or why it can't now; a camera that waits gets its answer, however long that takes."""
    return await path.outages.attempt(ask, step, path.camera, frame.captured_s, waits=path.waits)


def track(frame: Frame, found: Found, path: CameraPath) -> tuple[list[Sighting], list[Seen]]:
    """Join the faces to tracks, end the visits of those that left.

    Returns the few faces that are worth embedding, and the tracks to judge again without a new face, each with its
    box in this frame: later frames may move a track before this one is decided.
    """
    size, before = (frame.width, frame.height), path.tracker.frame_size
    if before not in (None, size):
        resized(before, size, path)
    sightings, gone = path.tracker.update(found, size, frame.captured_at, frame.captured_s)
    path.looking.looked(frame.captured_s)
    path.face_sizes.look(sightings, gone)
    for left in gone:
        leave(left, "left", path)
    tell_faces(path.watcher, frame, sightings, path.visits)
    spares = path.share is not None and path.share.spares_sure_faces
    to_embed = path.tracker.to_embed(sightings, found, frame.captured_s, path.live_gallery.serving, spares=spares)
    if path.share is not None:
        path.share.spared(path.tracker.spared)
    judge_again = path.tracker.due(frame.captured_s, path.live_gallery.generation)
    return to_embed, [(waiting, waiting.box) for waiting in judge_again]


def resized(before: tuple[int, int], now: tuple[int, int], path: CameraPath) -> None:
    """Count and log that the stream's frame size changed; it may be another scene, so every track ends with it."""
    path.metrics.camera_errors.labels(camera=path.camera, code=StreamResized.code).inc()
    log.warning(
        "camera %s: its picture changed from %dx%d to %dx%d; who is in view is told of anew",
        path.camera,
        *before,
        *now,
        extra={"camera": path.camera, "code": StreamResized.code},
    )


async def upright(walk: Walk, to_embed: list[Sighting], path: CameraPath) -> list[Sighting]:
    """Those whose faces stand upright, as a second look sees them.

    There is none at poor faces, which name nobody, nor at those of a track whose face was seen to stand; but for
    tilted ones, which get better landmarks by it.
    """
    quality = walk.found.quality
    tilted = np.abs(quality.roll) >= TILTED_PERHAPS
    doubtful = [
        sighting
        for sighting in to_embed
        if sighting.quality >= path.tracker.rules.min_quality
        and (tilted[sighting.index] or not sighting.track.current().upright)
    ]
    if not doubtful:
        return to_embed
    started_s = time.monotonic()
    rows = np.array([sighting.index for sighting in doubtful])
    detections = walk.found.detections

    def ask() -> Awaitable[Looked]:
        return path.recogniser.look(walk.frame.image, detections.at(rows), lane=path.camera)

    looked = await attempt(ask, "detect", walk.frame, path)
    walk.looked_s = time.monotonic() - started_s
    if isinstance(looked, CodedError):
        path.metrics.embeddings_skipped.labels(camera=path.camera).inc(len(to_embed))
        path.tracker.abandoned(to_embed)
        return []
    path.tracker.looked(doubtful, [bool(turn == 0) for turn in looked.turn])
    for turn in looked.turn[looked.turn != 0]:
        reason = FaceDoubtful.code if np.isnan(turn) else FaceNotUpright.code
        path.metrics.faces_rejected.labels(model=path.recogniser.detector.name, reason=reason).inc()
    landmarks = detections.landmarks.copy()
    landmarks[rows] = looked.landmarks
    walk.found = replace(walk.found, detections=replace(detections, landmarks=landmarks))
    fallen = set(rows[looked.turn != 0])
    return [sighting for sighting in to_embed if sighting.index not in fallen]


async def embed(frame: Frame, found: Found, to_embed: list[Sighting], path: CameraPath) -> Embedded | None:
    """Align and embed the chosen faces; None where there are none or that can't be done now."""
    if not to_embed:
        return None
    landmarks = found.detections.landmarks[[sighting.index for sighting in to_embed]]

    def ask() -> Awaitable[Embedded]:
        return path.recogniser.embed(frame.image, landmarks, lane=path.camera)

    embedded = await attempt(ask, "embed", frame, path)
    if isinstance(embedded, CodedError):
        path.metrics.embeddings_skipped.labels(camera=path.camera).inc(len(to_embed))
        path.tracker.abandoned(to_embed)
        return None
    return embedded


async def identify(walk: Walk, to_embed: list[Sighting], judge_again: list[Seen], path: CameraPath) -> list[Due]:
    """Say who the tracks are that have something new to say, and tell of what has changed."""
    changed, frame, embedded = dict(judge_again), walk.frame, walk.embedded
    if embedded is not None:
        usable = usable_rows(embedded.embeddings)
        reject([sighting for sighting, fine in zip(to_embed, usable, strict=True) if not fine], embedded.model, path)
        for sighting, embedding, fine in zip(to_embed, embedded.embeddings, usable, strict=True):
            if fine:
                owner = path.tracker.embedded(sighting, embedding, embedded.model)
                changed[owner] = sighting.box
                if path.keeps is not None and sighting.quality >= path.tracker.rules.min_quality:
                    walk.good.append((owner, sighting, embedding))
    started_s = time.monotonic()
    verdicts = await path.live_gallery.identify([owner.kept for owner in changed], path.names)
    match_s = time.monotonic() - started_s
    path.metrics.stage_seconds["match"].observe(match_s)
    moment = Moment(
        captured_at=frame.captured_at,
        captured_s=frame.captured_s,
        width=frame.width,
        height=frame.height,
        latency=LatencyMs(
            decode=_ms(frame.decode_s),
            queue=_ms(walk.waited_s),
            detect=_ms(walk.detect_s),
            embed=_ms(embedded.align_s + embedded.queue_s + embedded.run_s if embedded else 0.0),
            match=_ms(match_s),
        ),
        stream_late_ms=None if frame.late_s is None else _ms(frame.late_s),
    )
    return [
        due
        for (owner, box), verdict in zip(changed.items(), verdicts, strict=True)
        if owner in path.tracker.tracks  # it may have ended while it was judged
        for due in path.visits.consider(owner, verdict, moment, box)
    ]


def keep_faces(keeps: CameraVisits, walk: Walk, path: CameraPath) -> None:
    """Show good faces to whoever keeps their visits: only now is it known whether these are to be kept."""
    for owner, sighting, embedding in walk.good:
        if walk.embedded is not None and owner in path.tracker.tracks:  # it may have ended meanwhile
            landmarks = walk.found.detections.landmarks[sighting.index]
            model, space = walk.embedded.model, walk.embedded.space
            keeps.seen(owner.id, walk.frame.image, landmarks, sighting.quality, embedding, model, space)


def reject(to_embed: list[Sighting], model: str, path: CameraPath) -> None:
    """This embedder gave nothing usable for these: they say nothing about who it is, and may be tried again."""
    if to_embed:
        path.metrics.faces_rejected.labels(model=model, reason=EmbeddingUnusable.code).inc(len(to_embed))
        path.tracker.abandoned(to_embed)


def tell(due: list[Due], path: CameraPath) -> None:
    """Count what there is to say and hand it to the outbox, which never makes the loop wait."""
    for item in due:
        item = item if path.keeps is None else path.keeps.told(item)
        event = item.event
        path.metrics.events.labels(type=event.type, known="true" if event.person else "false").inc()
        if event.type == "new" and event.similarity is not None:
            path.metrics.match_margin.observe(event.similarity - event.threshold)
        if item.names:
            path.metrics.time_to_name.observe(max(event.captured_at - event.first_seen_at, 0.0))
        path.outbox.put(item)


def close_visits(path: CameraPath, reason: EndReason) -> None:
    """The camera is lost, over or stopped: so is every visit."""
    for gone in path.tracker.clear():
        leave(gone, reason, path)
    path.tracker.frame_size = None


def leave(gone: Track, reason: EndReason, path: CameraPath) -> None:
    """A track is over: what there is to say of its end."""
    tell(path.visits.close(gone, reason), path)
    if path.keeps is not None:
        path.keeps.gone(gone.id)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000.0, 2)
