"""WHIP (RFC 9725): /whip/<camera> takes a publisher for a camera with the url `publish://`; /publish/<camera> is one.

On the loop.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import HTTPConnection

from streamer.access.guard import needs
from streamer.api.rtc.webrtc import webrtc_routes
from streamer.errors import CameraNotPublished, CameraUnknown, CameraVariableUnset
from streamer.ingest.publish.point import PublishPoints
from streamer.settings import WebrtcSettings
from streamer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from streamer.ingest.webrtc.publisher import WhipPublisher

MOST_PUBLISHERS = 64  # of all cameras together, those that are not connected yet among them


@asynccontextmanager
async def whip_routes(
    settings: WebrtcSettings, points: PublishPoints, is_camera: Callable[[str], bool], metrics: Metrics
) -> AsyncIterator[APIRouter]:
    """Whoever publishes has the camera's password, or a token of role operator, as its bearer token."""

    def password(request: HTTPConnection) -> str | None:
        point = points.get(request.path_params["camera"])
        try:
            return None if point is None else point.login()[1]
        except CameraVariableUnset:  # its camera says so
            return None

    def publisher(camera: str) -> "WhipPublisher":
        from streamer.ingest.webrtc.publisher import WhipPublisher

        if camera in points and points[camera].camera.enabled:
            return WhipPublisher(points[camera])
        if is_camera(camera):
            raise CameraNotPublished(
                f"camera {camera} takes no publisher: it is disabled, or its url is not publish://"
            )
        raise CameraUnknown(f"there is no camera {camera[:64]!r}; `whosthere cameras list` names them all")

    count = metrics.webrtc_sessions.labels(kind="whip").set
    needed = needs("operator", password)
    async with webrtc_routes("whip", settings, needed, publisher, MOST_PUBLISHERS, count) as routes:
        yield routes
