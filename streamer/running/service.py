"""What is running, for those who look at it. Nothing is started or ended here; streamer/app.py does that."""

from dataclasses import dataclass, field

from recognition.recogniser import Recogniser
from streamer.access.guard import Guard
from streamer.access.kept_sessions import SessionKeeper
from streamer.access.live_tokens import LiveTokens
from streamer.api.certificate import Certificate
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.idempotency import FirstAnswers
from streamer.api.streaming.live_events import LiveEvents
from streamer.events.outbox import Outbox
from streamer.inference.inference import Inference
from streamer.ingest.publish.point import PublishPoints
from streamer.ingest.rtsp.server import RtspServer
from streamer.kept_visits.keeper import VisitKeeper
from streamer.live_view.view import LiveView
from streamer.model_layer.layer import ModelLayer
from streamer.mqtt.publisher import Publisher
from streamer.pipeline.camera import Camera, CameraStatus
from streamer.pipeline.camera_control import CameraControl
from streamer.pipeline.camera_trouble import WORDS
from streamer.pipeline.live_gallery import LiveGallery
from streamer.readiness import Part, Readiness
from streamer.review.desk import ReviewDesk
from streamer.running.parts import asked_parts, door_parts, models_part
from streamer.settings import Settings
from streamer.shedding.overload import Overload
from streamer.shedding.shedder import Shedder
from streamer.steady import steady_s
from streamer.telemetry.metrics import Metrics
from streamer.upkeep.daily import Upkeep


@dataclass(slots=True, eq=False)
class Service:
    """What is running, for those who look at it: HTTP, the demo, tests, the benchmark."""

    settings: Settings
    metrics: Metrics
    models: ModelLayer
    live_gallery: LiveGallery
    outbox: Outbox
    visits: VisitKeeper
    publisher: Publisher
    live_view: LiveView
    cameras: list[Camera]
    tokens: LiveTokens
    guard: Guard
    upkeep: Upkeep
    live_events: LiveEvents
    points: PublishPoints = field(default_factory=dict)
    certificate: Certificate | None = None
    http_port: int = 0
    rtsp: RtspServer | None = None
    inference: Inference | None = None
    desk: GalleryDesk | None = None
    review: ReviewDesk | None = None
    control: CameraControl | None = None
    overload: Overload = field(default_factory=Overload)
    shedder: Shedder | None = None
    sessions: SessionKeeper | None = None
    answers: FirstAnswers = field(default_factory=FirstAnswers)
    started_s: float = field(default_factory=steady_s)

    @property
    def recogniser(self) -> Recogniser:
        return self.models.recogniser

    def has_camera(self, name: str) -> bool:
        """Whether there is one of this name now, disabled or not."""
        return any(camera.name == name for camera in self.cameras)

    def readiness(self) -> Readiness:
        """What is ready and what is not, part by part, with the reason."""
        cameras = (_camera_part(camera.name, camera.status) for camera in self.cameras)
        return Readiness((*self.parts(), *cameras), self.models.readiness())

    def parts(self) -> list[Part]:
        """Those that are no camera's."""
        parts = [
            models_part(self.models),
            *asked_parts(self.models, self.live_gallery.reranker),
            Part("broker", not self.publisher.trouble, self.publisher.trouble),
            Part("outbox", self.outbox.healthy, self.outbox.trouble),
        ]
        if self.settings.mqtt.home_assistant.enabled:
            trouble = self.publisher.discovery.trouble
            parts.append(Part("home assistant", not trouble, trouble))
        if self.visits.is_wanted:
            parts.append(Part("kept visits", not self.visits.trouble, self.visits.trouble))
        if self.control is not None and self.control.trouble:
            parts.append(Part("configuration", False, self.control.trouble))
        gallery = self.live_gallery.trouble
        parts.append(Part("gallery", not gallery, gallery))
        if self.live_gallery.classifier.is_wanted:
            fault = self.live_gallery.classifier.trouble
            parts.append(Part("classifier", fault is None, "" if fault is None else str(fault)))
        if self.settings.http.enabled:
            parts.extend(door_parts(self.tokens, self.certificate))
        if self.overload.reason is not None:
            parts.append(Part("load", True, self.overload.reason))
        if self.rtsp is not None and (self.rtsp.port or self.rtsp.trouble):
            parts.append(Part("rtsp ingest", not self.rtsp.trouble, self.rtsp.trouble))
        return parts


def _camera_part(name: str, status: CameraStatus) -> Part:
    """Ready, and yet something to say, where it is online and its pictures can't be used: that may be the night."""
    if status.trouble is not None:
        return Part(f"camera {name}", True, f"{status.reason}: {WORDS[status.trouble]}")
    fine = status.state in ("online", "disabled") or status.reason == "ended"
    return Part(f"camera {name}", fine, "" if fine else f"{status.state}: {status.reason}")
