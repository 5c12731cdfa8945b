"""Identity events as the API shows them, and by what they are asked for. Pure, but for the gallery that tells ids."""

from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from streamer.access.guard import Caller
from streamer.api.errors import CursorInvalid
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.v1.paging import cursor_of, position_of
from streamer.events.event import IdentityEvent
from streamer.kept_visits.search import Position, ids_of, is_event_id

T = TypeVar("T")

_EVENT: dict[str, Any] = {
    "schema": "whosthere.identity/1",
    "event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8",
    "seq": 1,
    "type": "new",
    "camera": "door",
    "cameras": ["door"],
    "track_ids": ["door-17"],
    "person": {"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace"},
    "previous_person": None,
    "similarity": 0.71,
    "threshold": 0.42,
    "confidence": 0.98,
    "margin": 0.33,
    "quality": 0.83,
    "box": [612, 140, 701, 262],
    "frame": {"width": 1280, "height": 720},
    "first_seen_at": 1763674511.704,
    "captured_at": 1763674512.104,
    "published_at": None,
    "end_reason": None,
    "latency_ms": {"decode": 2.1, "queue": 0.8, "detect": 11.9, "embed": 6.2, "match": 0.3, "total": None},
    "stream_late_ms": 0.0,
    "model": {"detector": "scrfd_500m", "embedder": "arcface_w600k_mbf", "signature": "5b2fa8bd0cb1ad0b"},
    "snapshot": "01KBAGZ0M2T4V6X8Y0A2C4E6G8",
    "decision": "known",
    "candidates": [],
}

Cameras = Annotated[
    list[Annotated[str, Query(pattern=r"^[a-z0-9_-]{1,64}$")]] | None,
    Query(max_length=64, description="of these cameras; left out: of all"),
]
People = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=200)]] | None,
    Query(max_length=64, description="that name one of these: an id, or the name of somebody who is enrolled"),
]
Moment = Annotated[float | None, Query(ge=0, lt=253_402_300_800, allow_inf_nan=False, description="Unix seconds")]


class EventsPage(BaseModel):
    """Messages of kept visits, those of the visits that began last first; a page may be short and not the last one."""

    model_config = ConfigDict(json_schema_extra={"example": {"events": [_EVENT], "next": "WzE3NjM2NzQ1MTEuNywgIjAx"}})

    events: list[IdentityEvent]
    next: str | None


VISIT: dict[str, Any] = {
    "event_id": "01KBAGZ0M2T4V6X8Y0A2C4E6G8",
    "camera": "door",
    "began_at": 1763674511.704,
    "seen_at": 1763674519.5,
    "ended_at": None,
    "snapshots": ["face", "scene"],
    "said_at": None,
    "events": [_EVENT],
}


class VisitView(BaseModel):
    """A kept visit: Unix seconds, `ended_at` null while it goes on; which pictures there are; its messages in order.

    `said_at`: when somebody said whose it is, which the messages say since; null: nobody did.
    """

    model_config = ConfigDict(json_schema_extra={"example": VISIT})

    event_id: str
    camera: str
    began_at: float
    seen_at: float
    ended_at: float | None
    snapshots: list[str]
    said_at: float | None
    events: list[IdentityEvent]


async def ids_asked_for(people: list[str] | None, desk: GalleryDesk, caller: Caller) -> frozenset[str] | None:
    """None: anybody's. Raises PersonNotFound, PersonAmbiguous and GalleryError."""
    if people is None:
        return None
    return await desk.run(actor_of(caller), lambda store: frozenset().union(*(ids_of(store, one) for one in people)))


def place_of(cursor: str | None) -> Position | None:
    """Raises CursorInvalid."""
    if cursor is None:
        return None
    began_at, event_id, seq = position_of(cursor, float, str, int)
    place = Position(float(began_at), str(event_id), int(seq))
    if not is_event_id(place.event_id):
        raise CursorInvalid("`after` is no cursor of this list; give the `next` of the page before as it was, or none")
    return place


def cursor(place: Position | None) -> str | None:
    return None if place is None else cursor_of(place.began_at, place.event_id, place.seq)


def one_of(values: list[T] | None) -> frozenset[T] | None:
    return None if values is None else frozenset(values)
