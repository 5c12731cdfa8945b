"""Mailboxes in; streams of Server-Sent Events, parts or WebSockets out, each to its client's end, or its token's.

Nothing that fills a mailbox ever waits for a client: one that takes nothing is cut off. On the loop; one timer looks at
all streams.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from streamer.access.guard import Caller, Guard
from streamer.api.streaming.errors import TooManyListeners
from streamer.api.streaming.live_socket import HANG_UP, STOPPING
from streamer.api.streaming.messages import Mailbox
from streamer.api.streaming.sinks import EVENTS, PARTS, End, EventSink, PartsSink, Sink, WebSocketSink
from streamer.errors import ServiceStopping
from streamer.telemetry.metrics import Metrics

LOOK_S = 0.25
GOODBYE_S = 1.0  # less than the server gives them when it stops

Listening = AbstractContextManager[Mailbox]

_REVOKED = End("token_invalid", "the token was revoked, or the session is over", 1008)
_TOO_SLOW = End("listener_too_slow", "too much waits unread; come again", 1013)
_GOING_AWAY = 1001
_STOPPING = End(ServiceStopping.code, "the service stops; come again", STOPPING)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """heartbeat_s: after so long a silence an empty event is sent; write_s: how long a client may take nothing.

    most_of_one: by one token. what: is refused beyond that, in words.
    """

    heartbeat_s: float = 15.0
    write_s: float = 10.0
    most: int = 1000
    most_of_one: int = 500
    what: str = "streams"


class EventStream(Response):
    """Run by the server as any answer is; a route's `response_class`."""

    media_type = EVENTS
    sink: type[EventSink | PartsSink] = EventSink

    def __init__(self, streams: "Streams", caller: Caller, listening: Listening) -> None:
        super().__init__()
        self._streams = streams
        self._caller = caller
        self._listening = listening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._streams.run(self.sink(scope, receive, send), scope, self._caller, self._listening)


class PartsStream(EventStream):
    """Of pictures."""

    media_type = PARTS
    sink = PartsSink


class Streams:
    """All streams of one application. `clock` in s, that never jumps."""

    def __init__(
        self,
        guard: Guard,
        metrics: Metrics,
        limits: StreamLimits = StreamLimits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = guard
        self._metrics = metrics
        self._limits = limits
        self._clock = clock
        self._open: set[_Stream] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def events(self, caller: Caller, listening: Listening) -> Response:
        """What a route returns: whatever comes into the mailbox, as Server-Sent Events. Raises TooManyListeners."""
        self._check(caller)
        return EventStream(self, caller, listening)

    def parts(self, caller: Caller, listening: Listening) -> Response:
        """The same of pictures, as parts of which each takes the place of the last one. Raises TooManyListeners."""
        self._check(caller)
        return PartsStream(self, caller, listening)

    async def web_socket(
        self, socket: WebSocket, caller: Caller, listening: Listening, sink: type[WebSocketSink] = WebSocketSink
    ) -> None:
        """The same over a WebSocket that is not accepted yet, each message a text; to its end.

        Raises TooManyListeners, which a problem document can tell still.
        """
        self._check(caller)
        await self.run(sink(socket), socket.scope, caller, listening)

    async def run(self, sink: Sink, scope: Scope, caller: Caller, listening: Listening) -> None:
        """One stream, from its beginning to its end."""
        with listening as mailbox:
            stream = _Stream(sink, mailbox, caller, scope.get(HANG_UP, _nothing), self._clock)
            self._open.add(stream)
            self._metrics.http_listeners.inc()
            if self._timer is None:
                self._look()
            try:
                await stream.run()
            finally:
                self._open.discard(stream)
                self._metrics.http_listeners.dec()
                if stream.why is not None:
                    self._metrics.http_listeners_cut.labels(code=stream.why.code).inc()

    def _check(self, caller: Caller) -> None:
        limits = self._limits
        if len(self._open) >= limits.most:
            raise TooManyListeners(f"{limits.most} {limits.what} are open already; try again when one is closed")
        if sum(stream.caller.token == caller.token for stream in self._open) >= limits.most_of_one:
            raise TooManyListeners(
                f"{limits.most_of_one} {limits.what} are open by this token already; close one, or use another token"
            )

    def _look(self) -> None:
        now_s = self._clock()
        for stream in self._open:
            stream.look(now_s, self._limits, self._guard.still_admits(stream.caller))
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look) if self._open else None


class _Stream:
    """why: None while it goes on, and where the client itself has gone."""

    def __init__(
        self, sink: Sink, mailbox: Mailbox, caller: Caller, hang_up: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self.caller = caller
        self.why: End | None = None
        self._sink = sink
        self._mailbox = mailbox
        self._hang_up = hang_up
        self._clock = clock
        self._is_over = self._wants_beat = False
        self._writes_since_s: float | None = None
        self._wrote_s = clock()

    def look(self, now_s: float, limits: StreamLimits, is_admitted: bool) -> None:
        """From time to time: whether it is to go on."""
        if self._is_over:
            return
        if not is_admitted:
            self._end(_REVOKED)
        elif self._writes_since_s is not None and now_s - self._writes_since_s > limits.write_s:
            self._end(_TOO_SLOW)
            self._hang_up()
        elif now_s - self._wrote_s >= limits.heartbeat_s:
            self._wants_beat = True
            self._mailbox.wake()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                listener = tasks.create_task(self._until_gone(), name="listener")
                try:
                    await self._write()
                finally:
                    listener.cancel()
        except asyncio.CancelledError:
            self._end(_STOPPING)
            await self._say_goodbye()
            raise
        await self._say_goodbye()

    async def _until_gone(self) -> None:
        await self._sink.until_gone()
        self._end(None)

    async def _write(self) -> None:
        try:
            await self._timed(self._sink.open())
            while True:
                messages = await self._mailbox.take()
                if self._mailbox.overflowed:
                    self._end(_TOO_SLOW)
                if self._mailbox.over is not None:
                    code, detail = self._mailbox.over
                    self._end(End(code, detail, STOPPING if code == ServiceStopping.code else _GOING_AWAY))
                if self._is_over:
                    return
                if messages:
                    await self._timed(self._sink.send(messages))
                elif self._wants_beat:
                    await self._timed(self._sink.beat())
        except OSError:
            self._end(None)

    async def _timed(self, writing: Awaitable[None]) -> None:
        self._writes_since_s = self._clock()
        await writing
        self._writes_since_s, self._wrote_s, self._wants_beat = None, self._clock(), False

    async def _say_goodbye(self) -> None:
        if self.why is not None:
            with suppress(OSError):
                await self._sink.close(self.why)

    def _end(self, why: End | None) -> None:
        """Whatever the client takes of it: if it doesn't, its connection is cut off."""
        if self._is_over:
            return
        self._is_over, self.why = True, why
        self._mailbox.wake()
        if why is not None:
            asyncio.get_running_loop().call_later(GOODBYE_S, self._hang_up)


def _nothing() -> None:
    """There is no connection behind it."""
