"""Every HTTP request in; counted by its answer's status, and by how long that took to begin. ASGI, on the loop.

Around everything else, so that refusals count, too. Streams (live events) count when they begin; WebSockets do not.
"""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.telemetry.metrics import Metrics


class RequestMetrics:
    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = self._clock()

        has_begun = False

        def count(status: int) -> None:
            self._metrics.http_requests.labels(status=str(status)).inc()
            self._metrics.http_request_seconds.observe(self._clock() - started_s)

        async def send_counted(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception:  # a bug of ours: Starlette answers with 500, further out
            if not has_begun:
                count(500)
            raise
