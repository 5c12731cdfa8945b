"""/api/v1/service: how the service fares, in one document; and its audit log. On the loop."""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from prometheus_client import Gauge
from prometheus_client.samples import Sample
from pydantic import BaseModel, ConfigDict

from gallery.errors import PersonAmbiguous, PersonNotFound
from gallery.storage.store import PersonStore
from streamer import __version__
from streamer.api.errors import CursorInvalid
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.health import PartView
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.paging import USUAL, After, Limit, cursor_of, position_of
from streamer.api.v1.person_views import LARGEST_ID, Admin, Viewer
from streamer.api.v1.system.camera_views import LatencyView
from streamer.ingest.decode_gate.habits import Reason, Way
from streamer.ingest.decode_gate.telling import words_of
from streamer.model_layer.layer import ModelLayer
from streamer.people.audited import audited_id
from streamer.pipeline.camera import Camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.readiness import Readiness
from streamer.steady import steady_s
from streamer.telemetry.metrics import Metrics

_PART = {"ok": True, "reason": None}
_STATUS: dict[str, Any] = {
    "version": "0.2.0",
    "uptime_s": 4711.2,
    "ready": True,
    "parts": {"models": _PART, "broker": _PART, "outbox": _PART, "camera door": _PART},
    "queues": {"nano_det": 0, "nano_embed": 0},
    "people": 12,
    "templates": {"nano_embed.2": 40},
    "outbox": {"waiting": 0, "oldest_s": 0.0},
    "models": {
        "detector": "nano_det",
        "embedder": "nano_embed",
        "signature": "5f0c3a9d1be2",
        "chosen": None,
        "device": "cpu",
        "reason": "best",
        "why": "the most accurate that keeps up with the load",
    },
    "triton": None,
    "cameras": {"door": "online"},
    "watched": {
        "door": {
            "words": "while nothing moves, its keyframes alone are decoded, and what follows each is kept until "
            "something does: its packets weigh more as soon as something moves, and its keyframes' pictures are "
            "looked at",
            "way": "keyframes",
            "reason": "sizes_and_keyframes",
        }
    },
    "latency": {
        "door": {
            "within_s": 59.6,
            "looked_at": 131,
            "looked_at_per_s": 2.2,
            "dropped": 0,
            "p50_ms": 84.7,
            "p95_ms": 139.2,
            "last_picture_s": 0.1,
        }
    },
}
_ENTRY: dict[str, Any] = {
    "id": 17,
    "at": 1763674511.7,
    "actor": "wall",
    "action": "enrolled",
    "person_id": "p7f3k2m9q1xz4",
    "details": {"photos": 3},
}
Person = Annotated[str | None, Query(max_length=200, description="a person's id or name; an id of one forgotten, too")]


class Service(Protocol):
    """What the routes look at."""

    @property
    def metrics(self) -> Metrics: ...

    @property
    def models(self) -> ModelLayer: ...

    @property
    def live_gallery(self) -> LiveGallery: ...

    @property
    def cameras(self) -> list[Camera]: ...

    @property
    def started_s(self) -> float: ...

    def readiness(self) -> Readiness: ...


class OutboxView(BaseModel):
    """Messages that wait for the broker."""

    waiting: int
    oldest_s: float


class ServingView(BaseModel):
    """`chosen`: by hand, null where the service chooses; `why`: that this embedder serves, on its `device`."""

    detector: str
    embedder: str
    signature: str
    chosen: str | None
    device: str
    reason: str
    why: str

    @classmethod
    def of(cls, models: ModelLayer) -> "ServingView":
        document: dict[str, Any] = models.document()
        embedder = document["embedder"]
        return cls(
            detector=models.recogniser.detector.name,
            embedder=embedder["name"],
            signature=models.recogniser.signature,
            chosen=document["by_hand"],
            **{key: embedder[key] for key in ("device", "reason", "why")},
        )


class WatchedView(BaseModel):
    """How a camera is watched while nothing moves, and why."""

    words: str
    way: Way
    reason: Reason


class StatusView(BaseModel):
    """`parts`: what /readyz says; `queues`: faces and pictures that wait, by model; `templates`: by space; `triton`:
    null where no model that serves is on a Triton server; `cameras`: the state of each; `watched`, `latency`: of
    those that run."""

    model_config = ConfigDict(json_schema_extra={"example": _STATUS})

    version: str
    uptime_s: float
    ready: bool
    parts: dict[str, PartView]
    queues: dict[str, int]
    people: int
    templates: dict[str, int]
    outbox: OutboxView
    models: ServingView
    triton: PartView | None
    cameras: dict[str, str]
    watched: dict[str, WatchedView]
    latency: dict[str, LatencyView]

    @classmethod
    def of(cls, service: Service) -> "StatusView":
        readiness, recogniser, metrics = service.readiness(), service.models.recogniser, service.metrics
        parts = {part.name: PartView.of(part) for part in readiness.parts}
        return cls(
            version=__version__,
            uptime_s=round(steady_s() - service.started_s, 1),
            ready=readiness.ready,
            parts=parts,
            queues=recogniser.queue_depths(),
            people=service.live_gallery.people,
            templates={one.labels["model"]: round(one.value) for one in _samples(metrics.gallery_templates)},
            outbox=OutboxView(
                waiting=round(_samples(metrics.outbox_depth)[0].value),
                oldest_s=round(_samples(metrics.outbox_oldest)[0].value, 1),
            ),
            models=ServingView.of(service.models),
            triton=parts.get("triton"),
            cameras={camera.name: camera.status.state for camera in service.cameras},
            watched={
                camera.name: WatchedView(words=words_of(watch), way=watch.way, reason=watch.reason)
                for camera in service.cameras
                if (watch := camera.watched) is not None
            },
            latency={
                camera.name: LatencyView.of(camera.path.promptness.last_minute())
                for camera in service.cameras
                if camera.status.state != "disabled"
            },
        )


class AuditView(BaseModel):
    """`actor`: a token's name or a system's user; `details`: figures and words, no names."""

    model_config = ConfigDict(json_schema_extra={"example": _ENTRY})

    id: int
    at: float
    actor: str
    action: str
    person_id: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    entries: list[AuditView]
    next: str | None


class AuditChecked(BaseModel):
    """`broken_at`: the number of the first entry that was changed or is missing."""

    model_config = ConfigDict(json_schema_extra={"example": {"whole": True, "broken_at": None}})

    whole: bool
    broken_at: int | None


def routes(service: Service, desk: GalleryDesk) -> APIRouter:
    status = APIRouter(prefix="/api/v1/service", tags=["service"])

    @status.get("", response_model=StatusView)
    async def show_service(caller: Viewer) -> StatusView:
        """How the service fares: parts, queues, gallery, outbox, models, cameras."""
        return StatusView.of(service)

    @status.get(
        "/audit",
        response_model=AuditPage,
        responses=problem_answers(*OF_GALLERY, CursorInvalid, PersonNotFound, PersonAmbiguous),
    )
    async def list_audit(caller: Admin, limit: Limit = USUAL, after: After = None, person: Person = None) -> AuditPage:
        """Who did what to whom, the oldest first; people stand there by their ids."""
        behind = 0 if after is None else _number(after)
        return await desk.run(actor_of(caller), lambda store: _page(store, limit, behind, person))

    @status.get("/audit/check", response_model=AuditChecked, responses=problem_answers(*OF_GALLERY))
    async def check_audit(caller: Admin) -> AuditChecked:
        """Hold the audit log to its chain of hashes."""

        def work() -> int | None:
            with desk.opened(actor_of(caller)) as store:
                return store.audit_broken()

        broken_at = await desk.slowly(work)
        return AuditChecked(whole=broken_at is None, broken_at=broken_at)

    return status


def _number(cursor: str) -> int:
    (number,) = position_of(cursor, int)
    if not 0 <= int(number) <= LARGEST_ID:
        raise CursorInvalid("`after` is no cursor of this list; give the `next` of the page before as it was, or none")
    return int(number)


def _page(store: PersonStore, limit: int, behind: int, person: str | None) -> AuditPage:
    about = None if person is None else audited_id(store, person)
    found = store.audit_entries(about, behind, limit + 1)
    shown = [
        AuditView(
            id=one.id, at=one.at, actor=one.actor, action=one.action, person_id=one.person_id, details=dict(one.details)
        )
        for one in found[:limit]
    ]
    return AuditPage(entries=shown, next=cursor_of(shown[-1].id) if len(found) > limit else None)


def _samples(gauge: Gauge) -> list[Sample]:
    """What it says, one for each of its labels' values."""
    return [sample for family in gauge.collect() for sample in family.samples]
