"""An application in; the same one out, for which no token, and no address without one, leaves no room for the others.

ASGI middleware behind Closed: who asks is known by then. Counts requests alone; what costs much has limits of its own.
"""

import math
import time
from collections.abc import Callable, Hashable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.access.errors import TooManyRequests
from streamer.access.guard import caller_of
from streamer.access.rates import Rates, Taken
from streamer.addresses import neighbourhood_of
from streamer.api import problems
from streamer.settings import RateLimitSettings
from streamer.telemetry.metrics import Metrics

_STARTS = ("http.response.start", "websocket.http.response.start")


class RateLimits:
    """Each answer tells how much is left (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(
        self, app: ASGIApp, limit: RateLimitSettings, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._metrics = metrics
        per_s = limit.requests_per_s
        self._rates = None if per_s is None else Rates(per_s, limit.burst, clock)
        self._policy = "" if per_s is None else f'"requests";q={limit.burst};w={math.ceil(limit.burst / per_s)}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._rates is None or scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        taken = self._rates.take(_who(scope))
        told = self._told(taken)
        if taken.wait_s:
            self._metrics.http_refused.labels(code=TooManyRequests.code).inc()
            refused = TooManyRequests(
                "too many requests at once (http.rate_limit); ask again when Retry-After says so",
                {"Retry-After": str(math.ceil(taken.wait_s)), **told},
            )
            await problems.of(refused)(scope, receive, send)
            return

        async def send_told(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(raw=list(message.get("headers", ())))
                headers.update(told)
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_told)

    def _told(self, taken: Taken) -> dict[str, str]:
        return {"RateLimit-Policy": self._policy, "RateLimit": f'"requests";r={taken.left};t={math.ceil(taken.full_s)}'}


def _who(scope: Scope) -> Hashable:
    token = caller_of(scope).token
    if token is not None:
        return token.digest
    return neighbourhood_of(scope["client"][0]) if scope.get("client") else ""
