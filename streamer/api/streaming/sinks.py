"""The two forms that a stream has: Server-Sent Events (HTML, 9.2) and a WebSocket's texts. On the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from starlette.types import Receive, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from streamer.api.streaming.messages import Message

RETRY_MS = 2000

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect events
    (b"connection", b"close"),  # it may be cut off, and nobody's next request with it
]


@dataclass(frozen=True, slots=True)
class End:
    """Why a stream is over before its client is; close_code as in RFC 6455, 7.4.1."""

    code: str
    detail: str
    close_code: int


class Sink(Protocol):
    """All but until_gone() raise OSError where the client is gone, and wait as long as it takes nothing."""

    async def open(self) -> None: ...

    async def send(self, messages: Sequence[Message]) -> None: ...

    async def beat(self) -> None: ...

    async def close(self, end: End) -> None: ...

    async def until_gone(self) -> None: ...


class EventSink:
    """An answer to a GET."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def open(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._write(f"retry: {RETRY_MS}\n\n".encode())

    async def send(self, messages: Sequence[Message]) -> None:
        await self._write(b"".join(message.sse for message in messages))

    async def beat(self) -> None:
        await self._write(b":\n\n")

    async def close(self, end: End) -> None:
        """An event `end` says why."""
        why = orjson.dumps({"code": end.code, "detail": end.detail})
        await self._write(b"event: end\ndata: " + why + b"\n\n", more=False)

    async def until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


class WebSocketSink:
    """A WebSocket; the server's own pings are its heartbeat."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def open(self) -> None:
        await self._socket.accept()

    async def send(self, messages: Sequence[Message]) -> None:
        try:
            for message in messages:
                await self._socket.send_text(message.text)
        except WebSocketDisconnect as gone:
            raise ConnectionResetError from gone

    async def beat(self) -> None:
        return

    async def close(self, end: End) -> None:
        if self._socket.application_state is not WebSocketState.CONNECTED:  # a send has failed since
            return
        try:
            await self._socket.close(end.close_code, end.code)
        except WebSocketDisconnect as gone:
            raise ConnectionResetError from gone

    async def until_gone(self) -> None:
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass
