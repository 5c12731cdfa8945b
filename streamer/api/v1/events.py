"""/api/v1/events: visits that are kept, their messages and pictures. On the loop; the file on its reader's thread."""

import time
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gallery.errors import MasterKeyError, PersonAmbiguous, PersonNotFound
from recognition.errors import Overloaded
from streamer.api.errors import CursorInvalid
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.streaming.live_events import LiveEvents
from streamer.api.streaming.visit_news import news_of
from streamer.api.v1.entity_tags import tagged, tagged_picture
from streamer.api.v1.event_views import (
    Cameras,
    EventsPage,
    Moment,
    People,
    VisitView,
    cursor,
    ids_asked_for,
    one_of,
    place_of,
)
from streamer.api.v1.paging import USUAL, After, Limit
from streamer.api.v1.person_views import Operator, Viewer
from streamer.errors import (
    KeptVisitsDamaged,
    KeptVisitsMissing,
    KeptVisitsTooNew,
    KeptVisitsUnwritable,
    SnapshotNotFound,
    VisitNotFound,
)
from streamer.events.event import Decision, EventType, IdentityEvent, named
from streamer.kept_visits.reader import VisitReader
from streamer.kept_visits.search import Asked, page
from streamer.kept_visits.visits_file import VisitsFile

EventId = Annotated[
    str, Path(min_length=1, max_length=64, description="as an event has it", examples=["01KBAGZ0M2T4V6X8Y0A2C4E6G8"])
]
NameOf = Callable[[str], str | None]

_FILE = (KeptVisitsDamaged, KeptVisitsMissing, KeptVisitsTooNew, KeptVisitsUnwritable, MasterKeyError, Overloaded)


def routes(desk: GalleryDesk, reader: VisitReader, live: LiveEvents, name_of: NameOf) -> APIRouter:
    """name_of: a person's display name now, also by an id of before; any thread."""
    events = APIRouter(prefix="/api/v1/events", tags=["events"])

    async def asked_for(
        caller: Viewer,
        camera: Cameras = None,
        person: People = None,
        since: Moment = None,
        until: Moment = None,
        decision: Annotated[list[Decision] | None, Query(max_length=3)] = None,
        type: Annotated[list[EventType] | None, Query(max_length=3)] = None,
    ) -> Asked:
        return Asked(
            float("-inf") if since is None else since,
            float("inf") if until is None else until,
            one_of(camera),
            await ids_asked_for(person, desk, caller),
            one_of(decision),
            one_of(type),
        )

    @events.get(
        "",
        response_model=EventsPage,
        responses=problem_answers(*_FILE, *OF_GALLERY, PersonNotFound, PersonAmbiguous, CursorInvalid),
    )
    async def list_events(
        _: Viewer, asked: Annotated[Asked, Depends(asked_for)], limit: Limit = USUAL, after: After = None
    ) -> Response:
        """The messages of kept visits (cameras with `snapshots`), those of the latest visits first."""
        place = place_of(after)

        def document(file: VisitsFile) -> bytes:
            messages, end = page(file, asked, place, limit)
            shown = EventsPage(events=[_shown(event, name_of) for event in messages], next=cursor(end))
            return shown.model_dump_json().encode()

        return Response(await reader.run(document), media_type="application/json")

    @events.get("/{event_id}", response_model=VisitView, responses=problem_answers(*_FILE, VisitNotFound))
    async def show_visit(event_id: EventId, _: Viewer, request: Request) -> Response:
        """One kept visit with all its messages, and an entity tag."""
        return tagged(request, await reader.run(lambda file: visit_view(file, event_id.upper(), name_of)))

    @events.delete("/{event_id}", status_code=204, responses=problem_answers(*_FILE, *OF_GALLERY, VisitNotFound))
    async def erase_visit(event_id: EventId, caller: Operator) -> None:
        """Erase a kept visit: messages, faces and pictures; the audit log keeps that it was done."""
        visit = await reader.run(lambda file: file.visit(event_id.upper()))
        details = {"event_id": visit.event_id, "camera": visit.camera}
        await desk.run(actor_of(caller), lambda store: store.record("visit_erased", details=details))
        await reader.run(lambda file: _erase(file, visit.event_id), is_rest=True)
        live.tell(news_of({visit.camera: [visit.event_id]}, time.time(), is_erased=True))

    @events.get(
        "/{event_id}/snapshots/{kind}",
        response_class=Response,
        responses={
            200: {
                "description": "A JPEG.",
                "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
            },
            **problem_answers(*_FILE, VisitNotFound, SnapshotNotFound),
        },
    )
    async def show_snapshot(event_id: EventId, kind: Literal["face", "scene"], _: Viewer, request: Request) -> Response:
        """A picture of a kept visit: its best face (256 x 256), or the scene that it was in; with an entity tag."""
        return tagged_picture(request, await reader.run(lambda file: _picture(file, event_id.upper(), kind)))

    return events


def visit_view(file: VisitsFile, event_id: str, name_of: NameOf) -> VisitView:
    """Blocks. Raises VisitNotFound."""
    visit = file.visit(event_id)
    return VisitView(
        event_id=visit.event_id,
        camera=visit.camera,
        began_at=visit.began_at,
        seen_at=visit.seen_at,
        ended_at=visit.ended_at,
        snapshots=[] if file.pictures(event_id) is None else ["face", "scene"],
        said_at=visit.said.at if visit.said is not None and visit.said.is_named else None,
        events=[_shown(event, name_of) for event in visit.messages],
    )


def _shown(event: IdentityEvent, name_of: NameOf) -> IdentityEvent:
    """With names, and where its visit is kept, which was not known of the first ones when they were sent."""
    return named(event, name_of).model_copy(update={"snapshot": event.event_id})


def _picture(file: VisitsFile, event_id: str, kind: Literal["face", "scene"]) -> bytes:
    visit = file.visit(event_id)
    pictures = file.pictures(event_id)
    if pictures is None:
        raise SnapshotNotFound(f"visit {visit.event_id} has no pictures: nothing good was seen of the face")
    return pictures.face if kind == "face" else pictures.scene


def _erase(file: VisitsFile, event_id: str) -> None:
    file.erase([event_id])
    file.tidy()
