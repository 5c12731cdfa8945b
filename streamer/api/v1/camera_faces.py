"""/api/v1/cameras/{camera}/faces: what a camera sees, frame by frame, as Server-Sent Events and over a WebSocket.

On the loop; the camera's path is never waited for, and does nothing for it while nobody listens.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response, WebSocket

from streamer.api.problem_answers import problem_answers
from streamer.api.streaming.errors import TooManyListeners
from streamer.api.streaming.streams import EventStream, Listening, Streams
from streamer.api.v1.person_views import Viewer
from streamer.errors import CameraDisabled, CameraUnknown
from streamer.live_view.view import LiveView

_EXAMPLE = (
    'data: {"frame":4711,"captured_at":1763674512.104,"published_at":1763674512.139,"width":1280,"height":720,"faces":'
    '[{"box":[612,140,701,262],"score":0.87,"decision":"known","person":{"id":"p7f3k2m9q1xz4","name":"Ada Lovelace"},'
    '"similarity":0.71,"quality":0.83}]}\n\n'
)


def routes(view: LiveView, streams: Streams) -> APIRouter:
    cameras = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])

    async def listening(camera: Annotated[str, Path(max_length=64, examples=["door"])]) -> Listening:
        return view.listening(camera)

    Asked = Annotated[Listening, Depends(listening)]

    @cameras.get(
        "/{camera}/faces",
        status_code=200,  # FastAPI finds none in EventStream, and its document fails
        response_class=EventStream,
        responses={
            200: {
                "description": "Messages to the client's end, its token's or the camera's.",
                "content": {"text/event-stream": {"example": _EXAMPLE}},
            },
            **problem_answers(CameraUnknown, CameraDisabled, TooManyListeners),
        },
    )
    async def follow_faces(caller: Viewer, asked: Asked) -> Response:
        """Each frame that is looked at, with its faces; the same over a WebSocket at the same path. A listener who is
        slow gets the newest frame alone. `decision` and `person` are null until an event has said whose a face is."""
        return streams.events(caller, asked)

    @cameras.websocket("/{camera}/faces")
    async def follow_faces_over_a_socket(websocket: WebSocket, caller: Viewer, asked: Asked) -> None:
        await streams.web_socket(websocket, caller, asked)

    return cameras
