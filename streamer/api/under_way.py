"""Requests that are under way when the service stops: a moment to finish, then a 503; never cut off by the server.

ASGI middleware, on the loop. What a request waits for (an offer's candidates, the rest of a body) is cancelled first,
so that it can clear up.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.api import problems
from streamer.errors import ServiceStopping


class UnderWay:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limits: set[asyncio.Timeout] = set()
        self._ends_s: float | None = None  # loop time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            async with asyncio.timeout_at(self._ends_s) as limit:
                self._limits.add(limit)
                try:
                    await self._app(scope, receive, send_noted)
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            if not has_begun:
                await problems.of(ServiceStopping("the service stops; try again when it is back"))(scope, receive, send)

    def stop(self, finish_s: float) -> None:
        """Whatever is not answered that much later is told that the service stops; who comes later still, at once."""
        self._ends_s = asyncio.get_running_loop().time() + finish_s
        for limit in self._limits:
            limit.reschedule(self._ends_s)
