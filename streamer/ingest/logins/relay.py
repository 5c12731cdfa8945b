"""Between libav and one RTSP camera: adds a login that libav does not know to its requests. RTSP over TCP (RFC 2326).

It listens on loopback for one connection that names a secret, and passes on what it does not have to change. A thread
and an event loop of its own; neither outlives the connection.
"""

import asyncio
import contextlib
import http.client
import io
import secrets
import socket
import threading
from dataclasses import dataclass
from email.message import Message
from types import TracebackType
from typing import Any, Self, cast

from streamer.ingest.logins.digest import Challenge, authorization, best, challenges
from streamer.ingest.logins.login import Login

_END = b"\r\n\r\n"
_TRIES = 2
_LAST_SEQUENCE = 2**31 - 1  # libav counts from 1
# How a connection ends, or what comes over it is no RTSP.
_ENDS = (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError, ValueError, http.client.HTTPException)


@dataclass(slots=True)
class _Request:
    """As the camera is to have it, without a login; body with the empty line before it."""

    method: str
    uri: str
    lines: list[str]
    body: bytes
    tries: int = 0


_Client = tuple[_Request, asyncio.StreamReader, asyncio.StreamWriter]


class LoginRelay:
    """Enter it, open `url` by libav over TCP, leave it after that is closed."""

    def __init__(self, login: Login, limit_s: float) -> None:
        self._login = login
        self._limit_s = limit_s
        self._secret = secrets.token_urlsafe(16)
        self._challenge: Challenge | None = None
        self._answered = 0  # requests, with this challenge
        self._is_refused = False
        self._asked: dict[str, _Request] = {}
        self._playing: _Request | None = None  # PLAY, until TEARDOWN
        self._runs = threading.Event()  # or it never will
        self._thread = threading.Thread(target=self._serve, name="camera-login", daemon=True)

    @property
    def url(self) -> str:
        return f"{self._own}{self._login.path}"

    @property
    def _own(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/{self._secret}"

    def __enter__(self) -> Self:
        """Raises OSError where nothing can listen."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runs.wait()
        with contextlib.suppress(AttributeError, RuntimeError):  # there was no loop, or it is closed
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _serve(self) -> None:
        """The thread. Without a loop (no descriptors are left) libav's connection is closed, as by a camera."""
        try:
            with contextlib.suppress(OSError):
                asyncio.run(self._run())
        finally:
            self._listener.close()
            self._runs.set()

    async def _run(self) -> None:
        self._over = asyncio.Event()
        self._client: asyncio.Future[_Client] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._runs.set()
        over = asyncio.create_task(self._over.wait(), name="camera login, end")
        server = await asyncio.start_server(self._accepted, sock=self._listener)
        try:
            await asyncio.wait((self._client, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.close()  # not wait_closed(): from Python 3.12 on that is for connections, too
        if self._client.done():
            # libav sees that the connection ends, and says so.
            with contextlib.suppress(*_ENDS):
                await self._relay(*self._client.result(), over)

    async def _accepted(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """The connection of whoever names the secret is the one; another program of this machine's is sent away."""
        with contextlib.suppress(*_ENDS):
            async with asyncio.timeout(self._limit_s):
                raw, _ = await _message(client)
            if self._secret.encode() in raw and not self._client.done():
                self._client.set_result((self._bare(raw), client, to_client))
                return
        await _closed(to_client)

    async def _relay(
        self, first: _Request, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, over: asyncio.Task[bool]
    ) -> None:
        writers, tasks = [to_client], [cast("asyncio.Task[Any]", over)]
        try:
            async with asyncio.timeout(self._limit_s):
                camera, to_camera = await asyncio.open_connection(
                    self._login.host, self._login.port, ssl=self._login.tls
                )
            writers.append(to_camera)
            to_camera.write(self._signed(first))
            tasks += [
                asyncio.create_task(self._ask(client, to_camera), name="camera login, requests"),
                asyncio.create_task(self._answer(camera, to_camera, to_client), name="camera login, answers"),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._playing is not None:
                to_camera.write(self._goodbye(self._playing))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in writers:
                await _closed(writer)

    async def _ask(self, client: asyncio.StreamReader, to_camera: asyncio.StreamWriter) -> None:
        while True:
            raw, head = await _message(client)
            if head is None:
                to_camera.write(raw)
            else:
                request = self._bare(raw)
                if request.method in ("PLAY", "TEARDOWN"):
                    self._playing = request if request.method == "PLAY" else None
                to_camera.write(self._signed(request))
            await to_camera.drain()

    async def _answer(
        self, camera: asyncio.StreamReader, to_camera: asyncio.StreamWriter, to_client: asyncio.StreamWriter
    ) -> None:
        while True:
            raw, head = await _message(camera)
            request = None if head is None else self._asked.pop(head.get("CSeq", "").strip(), None)
            if request is not None and head is not None and self._may_retry(raw, head, request):
                to_camera.write(self._signed(request))
                continue
            to_client.write(raw)
            await to_client.drain()

    def _goodbye(self, playing: _Request) -> bytes:
        """For the camera, whose session would last: libav hangs up on what it has not read, and its own may be lost."""
        session = [line for line in playing.lines if line.lower().startswith("session:")]
        return self._signed(_Request("TEARDOWN", playing.uri, [f"CSeq: {_LAST_SEQUENCE}", *session], b""))

    def _may_retry(self, raw: bytes, head: Message, request: _Request) -> bool:
        """Whether the camera wants a login, or another one than it got (nonces grow old), that can be given."""
        if not raw.startswith(b"RTSP/1.0 401") or self._is_refused:
            return False
        self._challenge, self._answered = best(challenges(head.get_all("WWW-Authenticate", []))), 0
        if request.tries >= _TRIES or self._challenge is None:
            self._is_refused, self._challenge = True, None  # libav tries again, and cameras lock out who guesses
        return not self._is_refused

    def _bare(self, raw: bytes) -> _Request:
        text, _, body = raw.partition(_END)
        first, *lines = text.decode().split("\r\n")
        method, uri, _ = first.split(" ", 2)
        if uri.startswith(self._own):
            uri = self._login.server + uri.removeprefix(self._own)
        return _Request(method, uri, lines, body)

    def _signed(self, request: _Request) -> bytes:
        request.tries += 1
        for line in request.lines:
            name, _, value = line.partition(":")
            if name.strip().lower() == "cseq":
                self._asked[value.strip()] = request
        lines = [f"{request.method} {request.uri} RTSP/1.0", *request.lines]
        if self._challenge is not None:
            self._answered += 1
            user, password = self._login.user, self._login.password
            value = authorization(self._challenge, request.method, request.uri, user, password, self._answered)
            lines.append(f"Authorization: {value}")
        return "\r\n".join(lines).encode() + _END + request.body


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, Message | None]:
    """One RTSP message and its headers; or a frame of packets (RFC 2326, 10.12), and None."""
    start = await reader.readexactly(1)
    if start == b"$":
        header = await reader.readexactly(3)
        return start + header + await reader.readexactly(int.from_bytes(header[1:])), None
    text = start + await reader.readuntil(_END)
    head = http.client.parse_headers(io.BytesIO(text.partition(b"\r\n")[2]))
    return text + await reader.readexactly(int(head.get("Content-Length", "0"))), head


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
