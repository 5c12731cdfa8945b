"""/api/v1/events/live: identity events as they become due, as Server-Sent Events and over a WebSocket. On the loop."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response, WebSocket

from gallery.errors import PersonAmbiguous, PersonNotFound
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.streaming.errors import TooManyListeners
from streamer.api.streaming.live_events import LiveEvents, Wanted
from streamer.api.streaming.streams import EventStream, Listening, Streams
from streamer.api.v1.event_views import Cameras, People, ids_asked_for, one_of
from streamer.api.v1.person_views import Viewer

_Id = Query(max_length=64, description="the last event that is known, as event_id-seq: all later ones come first")
_Changes = Query(description="true: also what is said of visits afterwards, and who is forgotten")


def routes(desk: GalleryDesk, streams: Streams, live: LiveEvents) -> APIRouter:
    """To be mounted before /api/v1/events/{event_id}."""
    events = APIRouter(prefix="/api/v1/events", tags=["events"])

    async def listening(
        caller: Viewer,
        camera: Cameras = None,
        person: People = None,
        known: Annotated[bool | None, Query(description="true: of somebody who is known; false: of nobody")] = None,
        changes: Annotated[bool, _Changes] = False,
        after: Annotated[str | None, _Id] = None,
        last_event_id: Annotated[
            str | None, Header(max_length=64, description="what `after` is, and before it")
        ] = None,
    ) -> Listening:
        wanted = Wanted(one_of(camera), await ids_asked_for(person, desk, caller), known, changes)
        return live.listening(wanted, last_event_id or after)

    Asked = Annotated[Listening, Depends(listening)]

    @events.get(
        "/live",
        status_code=200,  # FastAPI finds none in EventStream, and its document fails
        response_class=EventStream,
        responses={
            200: {"description": "Events to the client's end, or its token's."},
            **problem_answers(*OF_GALLERY, PersonNotFound, PersonAmbiguous, TooManyListeners),
        },
    )
    async def follow_events(caller: Viewer, asked: Asked) -> Response:
        """Identity events as they become due, as Server-Sent Events; the same over a WebSocket at the same path."""
        return streams.events(caller, asked)

    @events.websocket("/live")
    async def follow_events_over_a_socket(websocket: WebSocket, caller: Viewer, asked: Asked) -> None:
        await streams.web_socket(websocket, caller, asked)

    return events
