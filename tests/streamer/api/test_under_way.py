"""Requests that are under way when the server ends: finished, or told so; never cut off with a traceback."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from streamer.api.server import serve_http
from streamer.api.under_way import UnderWay

Run = Callable[[Coroutine[Any, Any, None]], None]
both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


class Slow:
    """An application whose requests wait for what their path says."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.cleared_up: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, answer = scope["path"], PlainTextResponse("done")
        try:
            match path:
                case "/body":
                    self.waits.set()
                    await Request(scope, receive).body()
                case "/begun":
                    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
                    await send({"type": "http.response.body", "body": b"a", "more_body": True})
                    self.waits.set()
                    await asyncio.Event().wait()
                case "/soon":
                    self.waits.set()
                    await self.may_go_on.wait()
                case _:
                    self.waits.set()
                    await asyncio.Event().wait()
            await answer(scope, receive, send)
        finally:
            self.cleared_up.append(path)


async def asked(app: Slow, path: str) -> str:
    """All that comes back for half a request, which waits when the server ends."""
    async with asyncio.timeout(30):
        async with serve_http(app, "127.0.0.1", 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf".encode())
            await app.waits.wait()
            app.may_go_on.set()
        answer = (await reader.read()).decode()
        writer.close()
        return answer


@both_loops
@pytest.mark.parametrize("path", ["/forever", "/body"])
def test_what_is_not_answered_in_time_is_told_that_the_service_stops(run: Run, path: str, caplog):
    async def ask() -> None:
        app = Slow()
        answer = await asked(app, path)
        assert answer.startswith("HTTP/1.1 503")
        assert '"code":"service_stopping"' in answer
        assert "retry-after" in answer
        assert app.cleared_up == [path]

    run(ask())
    assert caplog.records == []


@both_loops
def test_what_has_begun_to_answer_is_cut_off_without_a_traceback(run: Run, caplog):
    async def ask() -> None:
        app = Slow()
        answer = await asked(app, "/begun")
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith("\r\n\r\na")
        assert app.cleared_up == ["/begun"]

    run(ask())
    assert [record for record in caplog.records if record.exc_info] == []


@both_loops
def test_what_is_answered_in_time_is_answered(run: Run, caplog):
    async def ask() -> None:
        assert (await asked(Slow(), "/soon")).endswith("done")

    run(ask())
    assert caplog.records == []


async def test_who_comes_later_is_told_at_once():
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    under_way = UnderWay(Slow())
    under_way.stop(0.0)
    async with asyncio.timeout(10):
        await under_way({"type": "http", "method": "GET", "path": "/forever", "headers": []}, receive, send)
    assert told[0]["status"] == 503


async def test_a_timeout_of_the_applications_own_stays_one():
    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await UnderWay(impatient)({"type": "http"}, None, None)
