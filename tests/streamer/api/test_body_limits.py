"""Bodies that are too large, or come too slowly, over real sockets: a clear refusal, and the connection goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from streamer.access.guard import open_to_all
from streamer.api import body_limits
from streamer.api.application import create_app
from streamer.api.body_limits import NUMBERS, SMALL_BYTES, takes
from streamer.api.server import serve_http
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_without_tokens
from tests.streamer.api.v1.api import Looked, refusal

MIB = 1 << 20


class Text(BaseModel):
    text: str


def routes(ended: list[str]) -> APIRouter:
    router = APIRouter(dependencies=[Depends(open_to_all)])

    @router.post("/json")
    async def take_json(body: Text) -> int:
        return len(body.text)

    @router.post("/numbers", dependencies=[Depends(NUMBERS)])
    async def take_numbers(body: Text) -> int:
        return len(body.text)

    @router.post("/small", dependencies=[Depends(takes(100))])
    async def take_little(body: Text) -> int:
        return len(body.text)

    @router.post("/large", dependencies=[Depends(takes(3 * MIB))])
    async def take_much(body: Text) -> int:
        return len(body.text)

    @router.post("/stream")
    async def take_stream(request: Request) -> int:
        taken = 0
        try:
            async for piece in request.stream():
                taken += len(piece)
        finally:
            ended.append("stream")
        return taken

    @router.post("/unread")
    async def leave_it() -> str:
        return "fine"

    return router


class Edge:
    def __init__(self, port: int, metrics: Metrics, ended: list[str]) -> None:
        self.port, self.metrics, self.ended = port, metrics, ended
        self.url = f"http://127.0.0.1:{port}"

    def refused(self, code: str) -> float:
        return self.metrics.registry.get_sample_value("whosthere_http_refused_total", {"code": code}) or 0.0


@asynccontextmanager
async def served() -> AsyncIterator[Edge]:
    metrics, ended = Metrics(), list[str]()
    app = create_app(Looked(guard_without_tokens(), metrics), [routes(ended)], HttpSettings(max_body_mib=1))
    async with serve_http(app, "127.0.0.1", 0) as port:
        yield Edge(port, metrics, ended)


def body_of(length: int) -> bytes:
    """JSON of so many bytes."""
    return json.dumps({"text": "x" * (length - len('{"text": ""}'))}).encode()


def in_pieces(body: bytes) -> Iterator[bytes]:
    for place in range(0, len(body), 50_000):
        yield body[place : place + 50_000]


@pytest.mark.parametrize("is_counted", [False, True], ids=["by Content-Length", "as it comes"])
@pytest.mark.parametrize(
    ("path", "most"),
    [("/json", SMALL_BYTES), ("/numbers", MIB), ("/small", 100), ("/large", 3 * MIB), ("/stream", SMALL_BYTES)],
)
async def test_a_body_has_as_many_bytes_as_are_taken_there(path, most, is_counted):
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for piece in in_pieces(body):
            yield piece

    async with served() as edge, httpx.AsyncClient() as client:
        for length in (most, most + 1, 2 * most):
            body = body_of(length)
            sent = pieces(body) if is_counted else body
            headers = {"Content-Type": "application/json"}
            answer = await client.post(edge.url + path, content=sent, headers=headers)
            if length <= most:
                assert answer.status_code == 200
            else:
                assert refusal(answer) == (413, "body_too_large")
                assert str(most) in answer.json()["detail"]
        assert edge.refused("body_too_large") == 2
        assert (await client.post(edge.url + "/small", json={"text": "x"})).json() == 1  # it serves on


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "Multipart/mixed", "multipart/"])
async def test_what_is_no_upload_is_not_one_for_being_called_so(kind):
    async with served() as edge, httpx.AsyncClient() as client:
        sent = {"content": b"x" * (MIB + 1), "headers": {"Content-Type": kind}}
        assert refusal(await client.post(edge.url + "/json", **sent)) == (413, "body_too_large")
        assert (await client.post(edge.url + "/stream", **sent)).json() == MIB + 1


async def test_a_body_that_nobody_reads_is_no_matter():
    async with served() as edge, httpx.AsyncClient() as client:
        assert (await client.post(edge.url + "/unread", content=b"x" * 1000)).json() == "fine"


HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"


@pytest.mark.parametrize("path", [b"/json", b"/stream", b"/large"])
@pytest.mark.parametrize("sent", [b"", b'{"te'], ids=["nothing", "a little"])
async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch, path, sent):
    monkeypatch.setattr(body_limits, "FIRST_S", 0.2)
    async with served() as edge, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HEAD % path + sent)
        answer = await reader.read()  # to the end: the connection is closed
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head.lower()
        assert json.loads(body)["code"] == "request_timeout"
        assert edge.refused("request_timeout") == 1


async def test_a_body_that_trickles_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(body_limits, "FIRST_S", 0.2)
    async with served() as edge, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HEAD % b"/stream")
        answer = b""
        while not answer:  # a byte, now and again, for as long as nobody answers
            writer.write(b"x")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    answer = await reader.read(1 << 16)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", [b"/json", b"/stream"])
async def test_half_a_body_and_half_a_connection_end(path):
    async with served() as edge, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HEAD % path + b'{"text"')
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()
        while path == b"/stream" and not edge.ended:  # what waited for the rest is over, too
            await asyncio.sleep(0)
