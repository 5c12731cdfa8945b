"""RFC 9725's HTTP over sessions, for WHIP and WHEP alike: methods, headers, statuses.

On the loop. Who may is asked before, by the guard; what a peer gets is the caller's.
"""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.errors import BodyTooLarge, CandidatesInvalid, MediaTypeUnsupported, OfferInvalid
from streamer.webrtc import fragment, offer
from streamer.webrtc.peer import Peer
from streamer.webrtc.sessions import Sessions

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
_PATHS = ("/whip/", "/whep/")
_PREFLIGHT = {
    "Accept-Post": SDP,
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}


def signalling(kind: Literal["whip", "whep"], sessions: Sessions, peer_of: Callable[[str], Peer]) -> APIRouter:
    """`peer_of(camera)` makes what the session is for; raises CodedErrors where that camera has none to give.

    GET, HEAD, PUT, and POST to a session, are 405 (RFC 9725, 4.1).
    """
    routes = APIRouter(tags=[kind])
    endpoint, session_path = f"/{kind}/{{camera}}", f"/{kind}/{{camera}}/{{session_id}}"

    @routes.post(endpoint, status_code=201, response_class=Response, response_description="SDP answer, Location.")
    async def begin(camera: str, request: Request) -> Response:
        """An SDP offer in, a session and its answer out (RFC 9725, 4.2)."""
        peer = peer_of(camera)
        text = await _body(request, SDP, offer.MOST_BYTES, OfferInvalid)
        session = await sessions.open(camera, text, peer)
        headers = {"Location": f"/{kind}/{camera}/{session.id}", "ETag": session.etag, "Accept-Patch": FRAGMENT}
        answer = Response(session.answer, 201, headers, SDP)
        for server in sessions.servers:
            answer.headers.append("Link", server.link())
        return answer

    @routes.patch(session_path, status_code=204, response_class=Response, response_description="Taken.")
    async def trickle(camera: str, session_id: str, request: Request) -> Response:
        """More ICE candidates (RFC 9725, 4.3.2)."""
        text = await _body(request, FRAGMENT, fragment.MOST_BYTES, CandidatesInvalid)
        await sessions.trickle(camera, session_id, text, request.headers.get("If-Match"))
        return Response(status_code=204)

    @routes.delete(session_path, response_class=Response, response_description="Over.")
    async def end(camera: str, session_id: str) -> Response:
        """The session ends (RFC 9725, 4.2)."""
        await sessions.close(camera, session_id)
        return Response()

    @routes.options(endpoint, include_in_schema=False)
    @routes.options(session_path, include_in_schema=False)
    async def options() -> Response:
        return Response(headers=_PREFLIGHT)

    return routes


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


async def _body(
    request: Request, media_type: str, most_bytes: int, unreadable: type[OfferInvalid | CandidatesInvalid]
) -> str:
    """Never more than that of it is read."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != media_type:
        raise MediaTypeUnsupported(f"the body's Content-Type must be {media_type}")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most_bytes:
                raise BodyTooLarge(f"the body is over {most_bytes} bytes; none that is well has as many")
        return body.decode()
    except (ClientDisconnect, UnicodeDecodeError):
        raise unreadable("the body is cut short, or not UTF-8 text") from None
