"""RFC 9725's HTTP over sessions, for WHIP and WHEP alike: methods, headers, statuses.

On the loop. Who may is asked before, by the guard; what a peer gets is the caller's.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from streamer.access.guard import Caller, Needs, open_to_all
from streamer.api.problem_answers import problem_answers
from streamer.errors import BodyTooLarge, CameraDisabled, CameraNotPublished, CameraUnknown, PublisherPresent
from streamer.webrtc import fragment, offer
from streamer.webrtc.errors import (
    CandidatesInvalid,
    EntityTagMissing,
    IceRestartUnsupported,
    MediaTypeUnsupported,
    OfferInvalid,
    OfferUnsupported,
    SessionChanged,
    SessionUnknown,
    TooManySessions,
    WebrtcDisabled,
    WebrtcMissing,
)
from streamer.webrtc.ice import read_servers as read_servers
from streamer.webrtc.peer import Peer
from streamer.webrtc.sessions import Sessions
from streamer.webrtc.sessions import open_sessions as open_sessions

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
BODY_S = 10.0  # for a body to come
_OF_CAMERAS = (CameraUnknown, CameraDisabled, CameraNotPublished)
_OF_BODIES = (MediaTypeUnsupported, BodyTooLarge, WebrtcMissing, WebrtcDisabled)
_OF_OFFERS = (OfferInvalid, OfferUnsupported, TooManySessions, PublisherPresent)
_OF_CANDIDATES = (CandidatesInvalid, EntityTagMissing, SessionUnknown, SessionChanged, IceRestartUnsupported)
_PREFLIGHT = {
    "Accept-Post": SDP,
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}


def signalling(
    kind: Literal["whip", "whep"], sessions: Sessions, needed: Needs, peer_of: Callable[[str], Peer]
) -> APIRouter:
    """`peer_of(camera)` makes what the session is for; raises CodedErrors where that camera has none to give."""
    routes = APIRouter(tags=[kind])
    endpoint, session_path = f"/{kind}/{{camera}}", f"/{kind}/{{camera}}/{{session_id}}"
    # The token with every request, those to a session too; not with OPTIONS, where a browser can't (RFC 9725, 4.7).
    closed, for_all = [Depends(needed)], [Depends(open_to_all)]

    @routes.post(
        endpoint,
        status_code=201,
        response_class=Response,
        response_description="SDP answer, Location.",
        responses=problem_answers(*_OF_CAMERAS, *_OF_BODIES, *_OF_OFFERS) | {201: {"content": {SDP: {}}}},
        openapi_extra=_takes(SDP),
    )
    async def begin(camera: str, request: Request, caller: Annotated[Caller, Depends(needed)]) -> Response:
        """An SDP offer in, a session and its answer out (RFC 9725, 4.2)."""
        peer_of(camera)  # refused before its offer is waited for
        text = await _body(request, SDP, offer.MOST_BYTES, OfferInvalid)
        holds = partial(request.app.state.guard.still_admits, caller)
        session = await sessions.open(camera, text, peer_of(camera), holds)
        headers = {"Location": f"/{kind}/{camera}/{session.id}", "ETag": session.etag, "Accept-Patch": FRAGMENT}
        answer = Response(session.answer, 201, headers, SDP)
        for server in sessions.servers:
            answer.headers.append("Link", server.link())
        return answer

    @routes.patch(
        session_path,
        status_code=204,
        response_class=Response,
        response_description="Taken.",
        dependencies=closed,
        responses=problem_answers(*_OF_BODIES, *_OF_CANDIDATES),
        openapi_extra=_takes(FRAGMENT),
    )
    async def trickle(camera: str, session_id: str, request: Request) -> Response:
        """More ICE candidates (RFC 9725, 4.3.2)."""
        text = await _body(request, FRAGMENT, fragment.MOST_BYTES, CandidatesInvalid)
        await sessions.trickle(camera, session_id, text, request.headers.get("If-Match"))
        return Response(status_code=204)

    @routes.delete(
        session_path,
        response_class=Response,
        response_description="Over.",
        dependencies=closed,
        responses=problem_answers(SessionUnknown, WebrtcMissing, WebrtcDisabled),
    )
    async def end(camera: str, session_id: str) -> Response:
        """The session ends (RFC 9725, 4.2)."""
        await sessions.close(camera, session_id)
        return Response()

    @routes.options(endpoint, include_in_schema=False, dependencies=for_all)
    @routes.options(session_path, include_in_schema=False, dependencies=for_all)
    async def options() -> Response:
        return Response(headers=_PREFLIGHT)

    # Kept free for what is to come (RFC 9725, 4.1); said to whoever asks, with a token or without.
    free = {endpoint: ["GET", "HEAD", "PUT", "PATCH", "DELETE"], session_path: ["GET", "HEAD", "PUT", "POST"]}
    for path, methods in free.items():
        allowed = "POST, OPTIONS" if path == endpoint else "PATCH, DELETE, OPTIONS"

        @routes.api_route(path, methods=methods, include_in_schema=False, dependencies=for_all)
        async def none_such(allowed: str = allowed) -> Response:
            raise HTTPException(405, "Method Not Allowed", {"Allow": allowed})

    return routes


def _takes(media_type: str) -> dict[str, Any]:
    """What the document says of a body that FastAPI does not read."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": {"type": "string"}}}}}


async def _body(
    request: Request, media_type: str, most_bytes: int, unreadable: type[OfferInvalid | CandidatesInvalid]
) -> str:
    """Never more than that of it is read."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != media_type:
        raise MediaTypeUnsupported(f"the body's Content-Type must be {media_type}")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > most_bytes:
                    raise BodyTooLarge(f"the body is over {most_bytes} bytes; none that is well has as many")
        return body.decode()
    except TimeoutError:
        raise unreadable(f"the body was not whole after {BODY_S:g} s") from None
    except (ClientDisconnect, UnicodeDecodeError):
        raise unreadable("the body is cut short, or not UTF-8 text") from None
