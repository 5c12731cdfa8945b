"""WebRTC's place in HTTP: its routes where it can be had, a clear word where it can't, and pages of other origins.

On the loop. aiortc is imported where it is wanted, off the loop: it takes a quarter of a second.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Depends, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.access.guard import Needs
from streamer.settings import WebrtcSettings
from streamer.webrtc.errors import WebrtcDisabled, WebrtcError, WebrtcMissing

if TYPE_CHECKING:
    from streamer.webrtc.peer import Peer

Kind = Literal["whip", "whep"]

_PATHS = ("/whip/", "/whep/")


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


class CrossOrigin:
    """Lets pages of other origins use WHIP and WHEP (RFC 9725, 4.1), and nothing else.

    Any origin may: no cookie is ever looked at, so a page has no rights but those of the token that it was given.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def open_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = "Location, ETag, Link, Accept-Patch, Retry-After"
            await send(message)

        is_open = scope["type"] == "http" and scope["path"].startswith(_PATHS)
        await self._app(scope, receive, open_send if is_open else send)


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
