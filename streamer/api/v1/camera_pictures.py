"""/api/v1/cameras/{camera}/mjpeg: what a camera sees as JPEGs that replace each other; over a WebSocket with faces.

On the loop; the camera's path is never waited for, and nothing is encoded while nobody looks.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response, WebSocket

from streamer.access.guard import Caller, Guard, needs
from streamer.api.problem_answers import problem_answers
from streamer.api.streaming.errors import TooManyListeners
from streamer.api.streaming.sinks import PARTS, PictureSocketSink
from streamer.api.streaming.streams import PartsStream, StreamLimits, Streams
from streamer.errors import CameraDisabled, CameraUnknown
from streamer.live_view.view import LiveView
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics

BEAT_S = 5.0  # a page takes a silence of three of them for a line that is dead

Camera = Annotated[str, Path(max_length=64, examples=["door"])]
Fps = Annotated[
    float | None,
    Query(
        ge=0.1, le=120, allow_inf_nan=False, description="pictures a second at most; without it all that are looked at"
    ),
]
Viewer = Annotated[Caller, Depends(needs("viewer", takes_basic=True))]


def streams(guard: Guard, metrics: Metrics, http: HttpSettings) -> Streams:
    """Those of pictures have places of their own: each takes a hundred times what one of events does."""
    most, what = http.picture_streams, "streams of pictures (http.picture_streams)"
    limits = StreamLimits(heartbeat_s=BEAT_S, most=most, most_of_one=max(most // 2, 1), what=what)
    return Streams(guard, metrics, limits)


def routes(view: LiveView, streams: Streams) -> APIRouter:
    cameras = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])

    @cameras.get(
        "/{camera}/mjpeg",
        status_code=200,  # FastAPI finds none in PartsStream, and its document fails
        response_class=PartsStream,
        responses={
            200: {"description": "JPEGs to the client's end, its token's or the camera's.", "content": {PARTS: {}}},
            **problem_answers(CameraUnknown, CameraDisabled, TooManyListeners),
        },
    )
    async def follow_pictures(camera: Camera, caller: Viewer, fps: Fps = None) -> Response:
        """The pictures that are looked at, 640 pixels at most, for an `<img>` or a player of MJPEG; the token may be
        the password of `Authorization: Basic`, too. Over a WebSocket at the same path each picture is a text (`frame`,
        `captured_at`, `media_time`, `width`, `height`, `jpeg`: its bytes) and a binary message, and the faces in it and
        the camera's state come as texts. Whoever is slow gets the newest alone."""
        return streams.parts(caller, view.pictures(camera, fps, is_told=False))

    @cameras.websocket("/{camera}/mjpeg")
    async def follow_pictures_over_a_socket(
        websocket: WebSocket, camera: Camera, caller: Viewer, fps: Fps = None
    ) -> None:
        await streams.web_socket(websocket, caller, view.pictures(camera, fps, is_told=True), PictureSocketSink)

    return cameras
