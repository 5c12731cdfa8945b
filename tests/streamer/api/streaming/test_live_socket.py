"""What is a WebSocket's handshake, and what becomes of one that is none: a request like any other."""

import asyncio

import httpx
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streamer.api.server import serve_http
from streamer.api.streaming.live_socket import Arrivals, is_handshake

GOOD = {
    "host": "x",
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
BAD = [
    {"sec-websocket-version": "8"},
    {"sec-websocket-version": ""},
    {"sec-websocket-key": ""},
    {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ"},
    {"sec-websocket-key": "c2hvcnQ="},
    {"x": 8000 * "y"},
    {f"x-{number}": "y" for number in range(120)},
]


def headers(more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in (GOOD | more).items()]


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["type"] + " " + str(HTTPConnection(scope).client), 418)(scope, receive, send)


def test_a_handshake():
    assert is_handshake("GET", "1.1", headers({}))
    assert not is_handshake("POST", "1.1", headers({}))
    assert not is_handshake("GET", "1.0", headers({}))
    assert not is_handshake("GET", "1.1", [*headers({}), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")])


@pytest.mark.parametrize("more", BAD)
async def test_what_is_no_handshake_is_answered_as_a_request(more, caplog):
    assert not is_handshake("GET", "1.1", headers(more))
    async with serve_http(told, "127.0.0.1", 0) as port, httpx.AsyncClient() as client, asyncio.timeout(20):
        for method in ("GET", "POST"):
            answer = await client.request(method, f"http://127.0.0.1:{port}/", headers=GOOD | more)
            assert (answer.status_code, answer.text[:5]) == (418, "http ")
    assert caplog.records == []


@pytest.mark.parametrize("upgrade", ["h2c", "websocket, h2c", "WEBSOCKET/1"])
async def test_another_wish_is_not_heard(upgrade, caplog):
    async with serve_http(told, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/", headers=GOOD | {"upgrade": upgrade})
    assert (answer.status_code, answer.text[:5]) == (418, "http ")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [((), "192.0.2.7", "127.0.0.1"), (("127.0.0.0/8",), "192.0.2.7", "192.0.2.7"), (("10.0.0.1",), "::1", "127.0.0.1")],
)
async def test_a_socket_behind_proxies(proxies, forwarded, seen):
    async with serve_http(told, "127.0.0.1", 0, trusted_proxies=proxies) as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/", additional_headers={"X-Forwarded-For": forwarded}, proxy=None)
    assert refused.value.response.status_code == 418
    assert f"websocket Address(host='{seen}'" in refused.value.response.body.decode()


class Line:
    """Pings go out and wait until somebody answers them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pings: list[bytes] = []
        self.is_open = True
        self.arrivals = Arrivals(self._write, lambda: self.now_s)

    def _write(self, text: str, data: bytes, ping: bytes) -> bool:
        self.pings.append(ping)
        return self.is_open

    async def sent(self) -> "asyncio.Task[None]":
        """One message more, and whether the next one may go."""
        waits = asyncio.ensure_future(self.arrivals.send("{}", b"picture"))
        await asyncio.sleep(0)
        return waits

    async def pong(self, payload: bytes, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.arrivals.pong(payload)
        await asyncio.sleep(0)


async def test_two_messages_may_be_on_their_way():
    line = Line()
    first, second = await line.sent(), await line.sent()
    assert (first.done(), second.done()) == (True, False)
    await line.pong(line.pings[0], 0.1)
    assert second.done()
    third = await line.sent()
    await line.pong(line.pings[2])  # stands for the second, too
    assert third.done()


async def test_on_a_slow_line_it_is_one():
    line = Line()
    await line.sent()
    await line.pong(line.pings[0], 0.8)
    second = await line.sent()
    assert not second.done()
    await line.pong(line.pings[1], 0.1)
    assert second.done()
    assert (await line.sent()).done(), "it is quick again"


@pytest.mark.parametrize(
    "payload", [b"", b"mark", b"mark" + (9).to_bytes(8, "big"), b"1234", b"mark" + bytes(8), b"\xff" * 125]
)
async def test_a_pong_that_nobody_asked_for_is_none(payload):
    line = Line()
    await line.sent()
    second = await line.sent()
    await line.pong(payload)
    assert not second.done()
    line.arrivals.end()
    await second


async def test_a_client_that_is_gone_is_told_at_once():
    line = Line()
    line.is_open = False
    with pytest.raises(ConnectionResetError):
        await line.arrivals.send("{}", b"picture")
