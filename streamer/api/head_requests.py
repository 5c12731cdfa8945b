"""An application in; the same one out, which answers HEAD wherever it answers GET (RFC 9110, 9.3.2).

ASGI middleware. FastAPI's routes know the methods that they name alone, and monitors and `curl -I` ask by HEAD.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadRequests:
    """The server looks at its own scope, and leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
