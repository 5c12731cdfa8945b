"""An application in; the same one out, whose requests have bodies of bounded size that come within bounded time.

ASGI middleware behind Closed, which leaves here what a route takes: `Depends(takes(most_bytes))` or `Depends(NUMBERS)`
on those that take another size than others. Counted as they pass; nothing is held here.
"""

import asyncio
import time
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recognition.errors import CodedError
from streamer.api import problems
from streamer.errors import BodyTooLarge, RequestTimeout
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics

# For a whole body there is this much time, and so much more as its bytes would take at a slow uplink's rate.
FIRST_S = 10.0
LEAST_BYTES_PER_S = 16 << 10

# Of what is no upload: each key that is not known, each text that is no number is told of one by one, on the loop.
SMALL_BYTES = 256 << 10

_TAKEN = "whosthere.body_taken"
_READ_WHOLE = "whosthere.body_read_whole"
_MIB = 1 << 20


class Takes:
    """The most bytes that a route's body may have, as its dependency; None: as http.max_body_mib says."""

    def __init__(self, most_bytes: int | None) -> None:
        self.most_bytes = most_bytes

    async def __call__(self) -> None: ...


def takes(most_bytes: int) -> Takes:
    """For `dependencies=[Depends(takes(...))]`: another limit than SMALL_BYTES and http.max_upload_mib."""
    return Takes(most_bytes)


NUMBERS = Takes(None)


def mark(scope: Scope, taken: Takes | None, *, read_whole: bool) -> None:
    """Leave for BodyLimits what the route of a request takes; None: it says nothing of that.

    read_whole: into memory, whatever it is said to be: no upload.
    """
    scope[_TAKEN], scope[_READ_WHOLE] = taken, read_whole


class BodyLimits:
    """`http.max_upload_mib` for multipart forms, SMALL_BYTES for all else, unless a route says otherwise."""

    def __init__(self, app: ASGIApp, http: HttpSettings, metrics: Metrics) -> None:
        self._app = app
        self._http = http
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in (b"content-type", b"content-length")}
        most = self._most(scope, headers.get(b"content-type", b""))
        exchange = _Exchange(receive, send, most)
        if int(headers.get(b"content-length", b"0")) > most:
            exchange.refuse_size()
        else:
            # Nobody is left to be answered; or the body was refused, which is said below.
            with suppress(ClientDisconnect):
                await self._app(scope, exchange.receive, exchange.send)
        if exchange.refusal is not None:
            self._metrics.http_refused.labels(code=exchange.refusal.code).inc()
            if not exchange.has_begun:
                answer = problems.of(exchange.refusal)
                answer.headers.update(exchange.farewell)
                await answer(scope, receive, send)

    def _most(self, scope: Scope, content_type: bytes) -> int:
        taken: Takes | None = scope.get(_TAKEN)
        if taken is not None:
            return self._http.max_body_mib * _MIB if taken.most_bytes is None else taken.most_bytes
        is_form = content_type.lower().startswith(b"multipart/") and not scope.get(_READ_WHOLE)
        return self._http.max_upload_mib * _MIB if is_form else SMALL_BYTES


class _Exchange:
    """One request and its answer. Once the body is refused the application hears that its client is gone, and whatever
    it says to that is not sent."""

    def __init__(self, receive: Receive, send: Send, most_bytes: int) -> None:
        self._receive, self._send = receive, send
        self._most_bytes = most_bytes
        self._left_s = FIRST_S
        self._bytes = 0
        self._is_whole = False
        self.has_begun = False
        self.refusal: CodedError | None = None
        self.farewell: dict[str, str] = {}

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        if self.refusal is not None:
            return {"type": "http.disconnect"}
        began_s = time.monotonic()
        try:
            # Time counts while the body is waited for, not while somebody works on what came of it.
            async with asyncio.timeout(max(self._left_s, 0.0)):
                message = await self._receive()
        except TimeoutError:
            self.refusal = RequestTimeout(
                f"the body came too slowly: it has {FIRST_S:g} s, and one more for each {LEAST_BYTES_PER_S >> 10} KiB"
            )
            self.farewell = {"Connection": "close"}  # of what may come still nothing is read
            return {"type": "http.disconnect"}
        body = message.get("body", b"")
        self._left_s += len(body) / LEAST_BYTES_PER_S - (time.monotonic() - began_s)
        self._bytes += len(body)
        if self._bytes > self._most_bytes:
            self.refuse_size()
            return {"type": "http.disconnect"}
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.refusal is not None and not self.has_begun:
            return
        self.has_begun = True
        await self._send(message)

    def refuse_size(self) -> None:
        self.refusal = BodyTooLarge(f"the body is over the {self._most_bytes} bytes that are taken here; send less")
