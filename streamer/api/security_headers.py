"""An application in; the same one out, whose answers a browser may use for nothing but what they are for.

ASGI middleware, the outermost, so that every refusal has them, too. What an answer says itself holds (the pages' own
policy, an entity's caching).
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # An answer is data: no script, style, frame or form of it runs, and no page of another origin embeds it.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # names and faces are in them
}
_STARTS = ("http.response.start", "websocket.http.response.start")
_DAY_S = 86_400
_FOR_PAGES_OF_OTHERS = ("/whip/", "/whep/")


class SecurityHeaders:
    """`hsts_days`: for so long browsers that came by TLS come by it alone (RFC 6797); 0: as they like."""

    def __init__(self, app: ASGIApp, hsts_days: int = 0) -> None:
        self._app = app
        self._hsts = f"max-age={hsts_days * _DAY_S}" if hsts_days else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        over_tls = scope.get("scheme") in ("https", "wss")

        async def send_safe(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if over_tls and self._hsts:
                    headers["Strict-Transport-Security"] = self._hsts
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_safe)


class CrossOrigin:
    """Lets pages of other origins use WHIP and WHEP (RFC 9725, 4.1), and nothing else.

    Any origin may, without credentials: a browser then sends no cookie, so a page has no rights but those of the token
    that it was given.
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

        is_open = scope["type"] == "http" and scope["path"].startswith(_FOR_PAGES_OF_OTHERS)
        await self._app(scope, receive, open_send if is_open else send)
