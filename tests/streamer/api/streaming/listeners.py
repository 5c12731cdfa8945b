"""Clients that listen: to Server-Sent Events, over a WebSocket, and one that asks and never reads."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from websockets.asyncio.client import connect


def listening(url: str, headers: Mapping[str, str]) -> connect:
    """Over a WebSocket at an http:// URL."""
    return connect("ws" + url.removeprefix("http"), additional_headers=headers, compression=None, proxy=None)


@asynccontextmanager
async def events(url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of an event stream."""
    async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield answer.aiter_lines()


async def next_event(lines: AsyncIterator[str]) -> dict[str, str]:
    """The fields of the next event that has some. Raises EOFError."""
    found: dict[str, str] = {}
    async for line in lines:
        if not line and found:
            return found
        name, _, value = line.partition(": ")
        if name and line != ":":
            found[name] = value
    raise EOFError


async def silent(
    port: int, path: str, headers: Mapping[str, str], *, is_socket: bool = False, times: int = 1
) -> socket.socket:
    """A client that asks and never reads."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    sent = {"Host": "x", **headers, **(_handshake() if is_socket else {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    await loop.sock_sendall(client, times * f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    return client


def _handshake() -> dict[str, str]:
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
