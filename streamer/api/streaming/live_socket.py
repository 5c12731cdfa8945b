"""A WebSocket's connection: uvicorn's, whose client is told things and says nothing; and what is a handshake at all.

On the loop. By what `reachable` puts into its scope an application can cut a connection off, have little of what it
sends wait on the way, and learn what has come to a WebSocket's client.
"""

import asyncio
import base64
import binascii
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.protocol import State

from streamer.errors import ServiceStopping

# In a scope:
HANG_UP = "whosthere.hang_up"  # ends the connection at once, whatever waits in its buffer
KEEP_LITTLE = "whosthere.keep_little"  # from now on what the client does not take waits with whoever sends
ARRIVALS = "whosthere.arrivals"  # a WebSocket's Arrivals

STOPPING = 1012  # RFC 6455's registry: the service restarts
LARGEST_MESSAGE_BYTES = 1 << 16
_GOODBYE_S = 2.0
_TCP = {"TCP_NOTSENT_LOWAT": 16_384, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # bytes; s, s, times
_MARK = b"mark"
_SLOW_S = 0.3  # for a message and its pong: with two at a time each would only wait for the other
# Beyond these the library says nothing at all, and hangs.
_LONGEST_LINE, _MOST_HEADERS = 8000, 120

Headers = Sequence[tuple[bytes, bytes]]


def is_handshake(method: str, http_version: str, headers: Headers) -> bool:
    """Whether a request that wants to be a WebSocket can become one (RFC 6455, 4.2.1)."""
    versions = [value.strip() for name, value in headers if name == b"sec-websocket-version"]
    keys = [value.strip() for name, value in headers if name == b"sec-websocket-key"]
    if (method, http_version, versions, len(keys)) != ("GET", "1.1", [b"13"], 1):
        return False
    if len(headers) > _MOST_HEADERS or any(len(name) + len(value) > _LONGEST_LINE for name, value in headers):
        return False
    try:
        return len(base64.b64decode(keys[0], validate=True)) == 16
    except (ValueError, binascii.Error):
        return False


def reachable(app: ASGIApp, by: Mapping[str, object]) -> ASGIApp:
    """`app`, which finds these in each scope."""

    async def found(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **by}, receive, send)

    return found


def keep_little(transport: asyncio.Transport) -> None:
    """Else half a megabyte and more would wait in its buffers: seconds of pictures on a slow line. And whoever vanished
    is noticed where there is no picture to send.
    """
    transport.set_write_buffer_limits(high=0)
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    with suppress(OSError):  # not TCP
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP.items():
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Arrivals:
    """What of a WebSocket's messages has come to its client: a ping goes behind one, and its pong comes back.

    So it is known whatever buffers lie between, those of proxies too, and any client answers (RFC 6455, 5.5.2).
    """

    def __init__(self, write: Callable[[str, bytes, bytes], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """write(text, data, ping): all three at once; whether that could be."""
        self._write = write
        self._clock = clock
        self._sent = self._came = 0
        self._sent_s = 0.0  # the last one
        self._took_s = 0.0
        self._news = asyncio.Event()

    async def send(self, text: str, data: bytes) -> None:
        """A text and a binary message; waits until those before them have come, on a slow line these, or the end.

        Raises ConnectionResetError where the client is gone.
        """
        self._sent += 1
        self._sent_s = self._clock()
        if not self._write(text, data, _MARK + self._sent.to_bytes(8, "big")):
            raise ConnectionResetError
        while self._sent - self._came > (0 if self._took_s > _SLOW_S else 1):
            self._news.clear()
            await self._news.wait()

    def pong(self, payload: bytes) -> None:
        """One came; it stands for all before it."""
        number = int.from_bytes(payload.removeprefix(_MARK), "big") if payload.startswith(_MARK) else 0
        if self._came < number <= self._sent:
            self._came = number
            self._took_s = self._clock() - self._sent_s  # of one that was sent before: at least so long
            self._news.set()

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._came = self._sent
        self._news.set()


class LiveSocket(WebSocketsSansIOProtocol):
    """What the client sends is not kept, and a client that takes nothing gets no more room than any other."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._arrivals = Arrivals(self._write_together)
        by = {HANG_UP: self._hang_up, KEEP_LITTLE: lambda: keep_little(self.transport), ARRIVALS: self._arrivals}
        self.app = reachable(self.app, by)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._arrivals.end()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._arrivals.pong(bytes(event.data))

    def handle_text(self, event: Frame) -> None:
        """There is nothing that a client may say here."""

    handle_bytes = handle_cont = handle_text

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()  # its pings would be answered into a buffer that nobody empties

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._hang_up()  # else it is closed when its buffer is empty, which may be never

    async def send(self, message: Any) -> None:  # noqa: ANN401 # uvicorn's events, which are typed by its own names
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # it was refused, and uvicorn would log that as a fault of the application

    def shutdown(self) -> None:
        """As uvicorn's, and says why."""
        if not self.handshake_complete:
            super().shutdown()
        else:
            self.stop_keepalive()
            if self.conn.state is State.OPEN:  # not one whose client is about to go: uvicorn's own fails there
                self.queue.put_nowait(
                    {"type": "websocket.disconnect", "code": STOPPING, "reason": ServiceStopping.code}
                )
                self.conn.send_close(STOPPING, ServiceStopping.code)
                self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        self.loop.call_later(_GOODBYE_S, self._hang_up)

    def _hang_up(self) -> None:
        self.transport.abort()

    def _write_together(self, text: str, data: bytes, ping: bytes) -> bool:
        """By one call of the system instead of three, each of which costs as much as half of a picture's encoding."""
        if self.conn.state is not State.OPEN or self.transport.is_closing():
            return False
        self.conn.send_text(text.encode())
        self.conn.send_binary(data)
        self.conn.send_ping(ping)
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True


def web_sockets() -> dict[str, Any]:
    """uvicorn's settings. No compression: 200 listeners would pay for it one by one, in time and memory."""
    return {"ws": LiveSocket, "ws_max_size": LARGEST_MESSAGE_BYTES, "ws_per_message_deflate": False}
