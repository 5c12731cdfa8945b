"""One configured camera over its whole life: opened, walked, lost, tried again; and what state it is in.

Settings go in; frames reach the pipeline, states reach MQTT, metrics and /readyz. Runs on the loop; the decoding
has a thread of its own inside the Source.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from recognition.errors import CodedError
from recognition.recogniser import Recogniser
from streamer.errors import CameraNotFound, CameraUnreachable, StreamLost, StreamStalled
from streamer.events.event import EndReason
from streamer.events.outbox import Outbox
from streamer.ingest import faults
from streamer.ingest.address import address, redacted_url
from streamer.ingest.decode_gate.gate import GateReport
from streamer.ingest.decode_gate.habits import Watch
from streamer.ingest.frame import Frame
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.ingest.source import Source, open_source
from streamer.ingest.stream import SourceHooks, StreamEnded
from streamer.kept_visits.camera_visits import CameraVisits
from streamer.looking.looking import Looking, LookingRules
from streamer.motion.areas import Areas
from streamer.motion.attention import Attention, AttentionRules
from streamer.motion.within import Within
from streamer.pipeline.camera_path import CameraPath, close_visits, run_camera
from streamer.pipeline.camera_trouble import WORDS, FaceSizes, Trouble
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.reach import is_silent
from streamer.pipeline.rhythm import Rhythm
from streamer.pipeline.tracking import Tracker, TrackingRules
from streamer.pipeline.visits import Visits
from streamer.pipeline.watching import Onlooker, Watcher
from streamer.settings import CameraSettings, Settings
from streamer.shedding.shedder import Shedder
from streamer.shedding.turns import Need
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from streamer.variables import expand_url

log = logging.getLogger(__name__)

# Between two attempts to reach a camera: frames are to flow within 3 s once it is back, and opening takes its time.
LONGEST_DELAY_S = 1.5
# It answers that there is no such stream, or a device is not there: both may come (docs/decisions.md).
NOT_FOUND_DELAY_S = 2.0
HOPELESS_DELAY_S = 60.0  # a login that is refused too often locks the account
HEALTHY_AFTER_S = 5.0  # a camera that ran for so long is tried again soon when it falls
UNSURE_SHARE = 0.6  # the tracker's second stage looks at detections down to this share of the threshold
PUBLISHED_DELAY_S = 0.5  # where publishers come to us, trying again is waiting for the next one
NO_PUBLISHER = "no_publisher"

_LOST = (CameraUnreachable.code, StreamStalled.code, StreamLost.code)

State = Literal["online", "stalled", "offline", "disabled"]


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """As published; reason: a stable code, `starting`, `ended`, `stopped`, `no_publisher`, a Trouble, or empty."""

    state: State
    reason: str = ""

    @property
    def trouble(self) -> Trouble | None:
        """Why its pictures can't be used, where it is online all the same."""
        return next((trouble for trouble in WORDS if trouble == self.reason), None) if self.state == "online" else None


class Camera:
    """Runs one camera until it is cancelled or its file is over. A fault of it never leaves run()."""

    def __init__(
        self,
        settings: CameraSettings,
        path: CameraPath,
        publish: Callable[[str, CameraStatus], None],
        point: PublishPoint | None = None,
    ) -> None:
        """point: where its publishers come to, of a camera that is published to."""
        self.point = point
        self.name = path.camera
        self.settings = settings
        self.path = path
        self.status = CameraStatus("offline", "starting") if settings.enabled else CameraStatus("disabled")
        self._publish = publish
        self.watched: Watch | None = None  # while nothing moves; None while that is not known
        self._source: Source | None = None
        self._rhythm = Rhythm()
        self._left = False
        self._frames_seen = 0
        self.dropped = 0  # frames that nobody had time for
        self._opened_before = False
        self._damage: str | None = None
        self._damage_told = False
        self._troubles: set[Trouble] = {"black"}  # of which a rule asks for how many hours it was so

    async def run(self) -> None:
        """Open, walk, report, and again; returns when a file is over. Cancel it to stop."""
        self._gauge()
        self._publish(self.name, self.status)
        if not self.settings.enabled:
            return
        if (trouble := Areas(self.settings.masks, self.settings.regions).trouble) is not None:
            log.warning("camera %s: %s", self.name, trouble, extra={"camera": self.name, "code": "camera_sees_nothing"})
        try:
            await supervise(
                f"camera {self.name}",
                self._attempt,
                self._failed,
                healthy_after_s=HEALTHY_AFTER_S,
                longest_delay_s=LONGEST_DELAY_S if self.point is None else PUBLISHED_DELAY_S,
                hopeless_delay_s=_hopeless_delay_s,
            )
        except asyncio.CancelledError:
            self._over("stopped", "stopped")
            raise
        finally:
            self._left = True

    @property
    def clip_started_at(self) -> float | None:
        """As Source has it, while the camera is open."""
        return None if self._source is None else self._source.clip_started_at

    @property
    def asked(self) -> int:
        """How many frames were sampled so far."""
        return self._frames_seen if self._source is None else self._source.next_number

    def watch(self) -> None:
        """Called every so often: notices silence, and keeps the last sightings of open visits on disk."""
        if self._source is not None and self.status.state in ("online", "stalled"):
            limit_s = self.settings.stalled_after_s or self._rhythm.stalled_after_s
            silent = self._source.silent_s >= limit_s
            if silent and self.status.state == "online":
                self._become("stalled", StreamStalled.code)
            elif self.status.state == "online":
                self._look_for_trouble(self._source)
            if self._source.next_number > self._frames_seen:
                self._tell_of_damage()
        for event_id, seen_at, seen_s in self.path.visits.sightings():
            self.path.outbox.sighted(event_id, seen_at, seen_s)

    def _look_for_trouble(self, source: Source) -> None:
        trouble: Trouble | None = source.trouble or ("faces_too_small" if self.path.face_sizes.too_small else None)
        if trouble is not None and trouble != self.status.trouble:
            log.warning("camera %s: %s", self.name, WORDS[trouble], extra={"camera": self.name, "code": trouble})
        self._become("online", trouble or "")

    async def _attempt(self) -> None:
        if self._opened_before:
            self.path.metrics.camera_reconnects.labels(camera=self.name).inc()
        self._opened_before = True
        await self._wait_for_answer()
        self._rhythm = Rhythm()
        self.path.promptness.opened()
        async with self._closed_source() as source:
            self._source = source
            try:
                await run_camera(self._take, self.path, self._peek)
            except StreamEnded:
                self._tell_of_damage()
                self._over("ended", "ended")
            except CodedError:
                close_visits(self.path, "camera_lost")
                raise
            finally:
                self._source = self.watched = None
                self._frames_seen = source.next_number

    async def _wait_for_answer(self) -> None:
        """A camera that was lost is opened once its port answers. Raises CameraUnreachable where it doesn't."""
        if self.point is None and self.status.reason in _LOST:
            url = expand_url(self.settings.url)
            if await is_silent(url, self.settings.open_timeout_s):
                raise faults.unanswered(address(self.name, self.settings, url))

    def _closed_source(self) -> Source:
        """To be entered. Raises CameraVariableUnset."""
        if self.point is None:
            url = expand_url(self.settings.url)
            return open_source(self.name, self.settings, url, self._frames_seen, self._hooks(), self.path.attention)
        self.point.login()
        if not self.point.is_taken:
            self._become("offline", NO_PUBLISHER)
        return PublishedSource(
            self.point, self.settings, self._frames_seen, self._hooks(), attention=self.path.attention
        )

    async def _take(self) -> Frame:
        """The source's next frame; the first one is what makes a camera online."""
        assert self._source is not None
        frame = await self._source.take()
        self.path.promptness.came()
        if self.status.state != "online":
            self._become("online", "")
        return frame

    async def _peek(self) -> Frame | None:
        assert self._source is not None
        return await self._source.peek()

    def _failed(self, _name: str, error: CodedError) -> None:
        self.path.metrics.camera_errors.labels(camera=self.name, code=error.code).inc()
        if self.status.state != "offline" or self.status.reason != error.code:
            log.warning("%s", error, extra={"camera": self.name, "code": error.code})
        self._over("camera_lost", error.code)

    def _tell_of_damage(self) -> None:
        """Once: a stream that is damaged in parts goes on, and the metrics count every part."""
        if self._damage is None or self._damage_told:
            return
        self._damage_told = True
        log.warning(
            "camera %s: %s is damaged or cut short; what can't be decoded is left out; check the file or the camera",
            self.name,
            redacted_url(self.settings.url),
            extra={"camera": self.name, "code": self._damage},
        )

    def _over(self, end_reason: EndReason, reason: str) -> None:
        close_visits(self.path, end_reason)
        self._become("offline", reason)

    def _become(self, state: State, reason: str) -> None:
        if (state, reason) == (self.status.state, self.status.reason):
            return
        self.status = CameraStatus(state, reason)
        self._gauge()
        log.info("camera %s is %s%s", self.name, state, f" ({reason})" if reason else "", extra={"camera": self.name})
        self._publish(self.name, self.status)

    def _gauge(self) -> None:
        metrics, status = self.path.metrics, self.status
        metrics.show_camera_state(self.name, status.state, status.reason)
        metrics.camera_up.labels(camera=self.name).set(1 if status.state == "online" else 0)
        if status.trouble is not None:
            self._troubles.add(status.trouble)
        for trouble in self._troubles:  # those that it had: a series for each that it might have is thousands of them
            metrics.camera_trouble.labels(camera=self.name, reason=trouble).set(1 if trouble == status.trouble else 0)

    def _hooks(self) -> SourceHooks:
        """Counts the frames that never reach the pipeline, from the camera's thread."""
        frames, errors, camera = self.path.metrics.frames, self.path.metrics.camera_errors, self.name
        decoders = self.path.metrics.decode_hwaccel
        failures, drops = (frames.labels(camera=camera, outcome=outcome) for outcome in ("failed", "dropped"))
        share = self.path.share
        sheds = drops if share is None else frames.labels(camera=camera, outcome="shed")
        hooks = SourceHooks()
        if self.point is not None:
            hooks = SourceHooks(held_back=frames.labels(camera=camera, outcome="held_back").inc)

        def dropped() -> None:
            self.dropped += 1
            self.path.promptness.dropped()
            (sheds if share is not None and share.lost() else drops).inc()

        def failed(code: str) -> None:
            if self._left:  # a thread inside a read outlives its camera, whose metrics may be gone
                return
            self._damage = code
            failures.inc()
            errors.labels(camera=camera, code=code).inc()

        def gated(report: GateReport) -> None:
            if not self._left:
                self.watched = report.watch
                self.path.metrics.show_gate(camera, report)

        def decoded_by(used: str) -> None:
            if not self._left:
                decoders.remove_by_labels({"camera": camera})
                decoders.labels(camera=camera, used=used).set(1)

        heard = self._rhythm.heard
        return replace(hooks, dropped=dropped, failed=failed, decoded=heard, gated=gated, decoded_by=decoded_by)


def _hopeless_delay_s(error: CodedError) -> float:
    return NOT_FOUND_DELAY_S if isinstance(error, CameraNotFound) else HOPELESS_DELAY_S


def _need(tracker: Tracker) -> Need:
    """What this camera's frames are wanted for."""
    if not tracker.tracks:
        return Need.NOBODY
    return Need.KNOWN if all(track.settled for track in tracker.tracks) else Need.UNKNOWN


def camera_path(
    name: str,
    settings: Settings,
    recogniser: Recogniser,
    live_gallery: LiveGallery,
    outbox: Outbox,
    metrics: Metrics,
    watcher: Watcher | None = None,
    keeps: CameraVisits | None = None,
    onlooker: Onlooker | None = None,
    shedder: Shedder | None = None,
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
    areas = Areas(settings.cameras[name].masks, settings.cameras[name].regions)
    waits = settings.cameras[name].pace == "fastest"
    tracker = Tracker(name, rules)
    return CameraPath(
        camera=name,
        recogniser=recogniser,
        tracker=tracker,
        visits=Visits(name, settings.events, settings.recognition.min_quality),
        live_gallery=live_gallery,
        outbox=outbox,
        metrics=metrics,
        frames_in_flight=settings.recognition.frames_in_flight,
        least_score=sure * UNSURE_SHARE,
        face_sizes=FaceSizes(rules.min_face_px),
        waits=waits,
        share=None if shedder is None or waits else shedder.share(name, partial(_need, tracker)),
        watcher=watcher,
        keeps=keeps,
        onlooker=onlooker,
        names=settings.cameras[name].names,
        looking=Looking(LookingRules(settings.recognition.look_again_s, rules.gone_after_s, rules.settle_s)),
        attention=Attention(AttentionRules(settings.recognition.look_again_s, settings.recognition.wake_within_s)),
        within=None if areas.is_everything else Within(areas, metrics.faces_outside.labels(camera=name).inc).faces,
    )
