"""The forms that a stream has: Server-Sent Events (HTML, 9.2) and a WebSocket's texts; of pictures, parts that replace
each other (multipart/x-mixed-replace), and a WebSocket's texts and binary messages. On the loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from streamer.api.streaming.live_socket import ARRIVALS, KEEP_LITTLE, Arrivals
from streamer.api.streaming.messages import Message

RETRY_MS = 2000
EVENTS = "text/event-stream"
PARTS = "multipart/x-mixed-replace"
_BOUNDARY = b"--picture\r\n"

_HEADERS = [
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


class AnswerSink:
    """An answer to a GET, which goes on."""

    media_type = ""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    async def open(self) -> None:
        headers = [(b"content-type", self.media_type.encode()), *_HEADERS]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


class EventSink(AnswerSink):
    media_type = f"{EVENTS}; charset=utf-8"

    async def open(self) -> None:
        await super().open()
        await self._write(f"retry: {RETRY_MS}\n\n".encode())

    async def send(self, messages: Sequence[Message]) -> None:
        await self._write(b"".join(message.sse for message in messages))

    async def beat(self) -> None:
        await self._write(b":\n\n")

    async def close(self, end: End) -> None:
        """An event `end` says why."""
        why = orjson.dumps({"code": end.code, "detail": end.detail})
        await self._write(b"event: end\ndata: " + why + b"\n\n", more=False)


class PartsSink(AnswerSink):
    """The JPEGs alone, each in the place of the one before it."""

    media_type = f"{PARTS}; boundary=picture"

    async def open(self) -> None:
        self._scope[KEEP_LITTLE]()
        await super().open()
        await self._write(_BOUNDARY)

    async def send(self, messages: Sequence[Message]) -> None:
        """The boundary behind each: browsers show what came before it."""
        for jpeg in (message.data for message in messages if message.data):
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
            await self._write(head + jpeg + b"\r\n" + _BOUNDARY)
            await self._write(b"")  # when the one before is on its way: what is taken next is the newest then

    async def beat(self) -> None:
        """There is nothing that could be said between two pictures."""

    async def close(self, end: End) -> None:
        await self._write(b"", more=False)


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


class PictureSocketSink(WebSocketSink):
    """What is no text goes behind its text; nothing more goes out while two of those are on their way, or one, slowly.

    A page hears no pings, and `{}` says that all is well.
    """

    async def open(self) -> None:
        self._socket.scope[KEEP_LITTLE]()
        await super().open()

    async def send(self, messages: Sequence[Message]) -> None:
        arrivals: Arrivals = self._socket.scope[ARRIVALS]
        for message in messages:
            if message.data:
                await arrivals.send(message.text, message.data)
            else:
                await super().send([message])

    async def beat(self) -> None:
        await super().send([_ALL_IS_WELL])


_ALL_IS_WELL = Message("{}")
