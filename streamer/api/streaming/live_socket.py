"""A WebSocket's connection: uvicorn's, whose client is told things and says nothing; and what is a handshake at all.

On the loop. An application can cut a connection off by what `reachable` puts into its scope.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.protocol import State

from streamer.errors import ServiceStopping

HANG_UP = "whosthere.hang_up"  # in a scope: ends the connection at once, whatever waits in its buffer

STOPPING = 1012  # RFC 6455's registry: the service restarts
LARGEST_MESSAGE_BYTES = 1 << 16
_GOODBYE_S = 2.0
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


def reachable(app: ASGIApp, hang_up: Callable[[], None]) -> ASGIApp:
    """`app`, which finds hang_up in each scope."""

    async def found(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, HANG_UP: hang_up}, receive, send)

    return found


class LiveSocket(WebSocketsSansIOProtocol):
    """What the client sends is not kept, and a client that takes nothing gets no more room than any other."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.app = reachable(self.app, self._hang_up)

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


def web_sockets() -> dict[str, Any]:
    """uvicorn's settings. No compression: 200 listeners would pay for it one by one, in time and memory."""
    return {"ws": LiveSocket, "ws_max_size": LARGEST_MESSAGE_BYTES, "ws_per_message_deflate": False}
