"""WebRTC's place in HTTP: its routes where it can be had, a clear word where it can't.

On the loop. aiortc is imported where it is wanted, off the loop: it takes a quarter of a second.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Depends, Response

from streamer.access.guard import Needs
from streamer.settings import WebrtcSettings
from streamer.webrtc.errors import WebrtcDisabled, WebrtcError, WebrtcMissing

if TYPE_CHECKING:
    from streamer.webrtc.peer import Peer

Kind = Literal["whip", "whep"]


@asynccontextmanager
async def webrtc_routes(
    kind: Kind,
    settings: WebrtcSettings,
    needed: Needs,
    peer_of: "Callable[[str], Peer]",
    most: int,
    count: Callable[[int], object],
) -> AsyncIterator[APIRouter]:
    """/whip/<camera> or /whep/<camera>; `most` sessions at once, `count` told how many. All are closed at the end.

    needed: what a request needs. peer_of(camera) makes what a session is for, or raises a CodedError. Raises
    ConfigInvalid. Where WebRTC is disabled, or its extra not installed, the routes say so.
    """
    try:
        if not settings.enabled:
            raise WebrtcDisabled(f"/{kind} is switched off; set ingest.webrtc.enabled to true")
        signalling = await _imported()
    except WebrtcError as error:
        yield _absent(kind, needed, error)
        return
    async with signalling.open_sessions(signalling.read_servers(settings.ice_servers), most, count) as sessions:
        yield signalling.signalling(kind, sessions, needed, peer_of)


async def _imported() -> ModuleType:
    try:
        return await asyncio.to_thread(importlib.import_module, "streamer.api.rtc.signalling")
    except ImportError:
        raise WebrtcMissing("WebRTC needs the extra `webrtc`: pip install 'whosthere[webrtc]', start again") from None


def _absent(kind: Kind, needed: Needs, error: WebrtcError) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    async def absent() -> Response:
        raise error

    methods = ["POST", "PATCH", "DELETE", "OPTIONS"]
    for path in (f"/{kind}/{{camera}}", f"/{kind}/{{camera}}/{{session_id}}"):
        routes.add_api_route(path, absent, methods=methods, dependencies=[Depends(needed)])
    return routes
