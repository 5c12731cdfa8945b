"""WHEP: /whep/<camera> shows a camera to whoever has a token; /watch/<camera> is a page that does.

On the loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from streamer.access.guard import needs
from streamer.api.rtc.webrtc import webrtc_routes
from streamer.live_view.view import LiveView
from streamer.settings import WebrtcSettings
from streamer.telemetry.metrics import Metrics


@asynccontextmanager
async def whep_routes(settings: WebrtcSettings, live_view: LiveView, metrics: Metrics) -> AsyncIterator[APIRouter]:
    """As many viewers as the settings say, of all cameras together."""
    count = metrics.webrtc_sessions.labels(kind="whep").set
    async with webrtc_routes("whep", settings, needs("viewer"), live_view.peer, settings.viewers, count) as routes:
        yield routes
