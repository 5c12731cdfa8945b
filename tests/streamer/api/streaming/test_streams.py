"""Streams over real sockets: to their clients' end, their tokens' or the service's; and clients that take nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import uvloop
from fastapi import APIRouter, Depends, Query, Response, WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.access.guard import Caller, Guard, needs
from streamer.access.live_tokens import LiveTokens
from streamer.access.token_file import make_token, revoke_token
from streamer.api.application import create_app
from streamer.api.certificate import Certificate
from streamer.api.doorway import WaitLimits
from streamer.api.server import serve_http
from streamer.api.streaming.messages import Mailbox, Message
from streamer.api.streaming.streams import StreamLimits, Streams
from streamer.readiness import Readiness
from streamer.telemetry.metrics import Metrics
from tests.certificates import make_certificate
from tests.streamer.access.keys import bearer
from tests.streamer.api.streaming.listeners import events, listening, next_event, silent

both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Any], None]
Viewer = Annotated[Caller, Depends(needs("viewer"))]


class Service:
    """As much of one as the application looks at, with what its listeners are told."""

    def __init__(self, folder: Path, limits: StreamLimits, most: int, clock: Callable[[], float] | None) -> None:
        self.metrics = Metrics()
        self.path = folder / "tokens.json"
        self.headers = bearer(make_token(self.path, "somebody", "viewer")[1])
        self.tokens = LiveTokens(self.path)
        self.tokens.look()
        self.guard = Guard(self.tokens, self.metrics)
        args = () if clock is None else (clock,)
        self.streams = Streams(self.guard, self.metrics, limits, *args)
        self.mailboxes: list[Mailbox] = []
        self.most = most

    def readiness(self) -> Readiness:
        return Readiness(())

    @contextmanager
    def listening(self) -> Iterator[Mailbox]:
        mailbox = Mailbox(self.most)
        self.mailboxes.append(mailbox)
        try:
            yield mailbox
        finally:
            self.mailboxes.remove(mailbox)

    def tell(self, message: Message) -> None:
        for mailbox in self.mailboxes:
            mailbox.put(message)

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.get("/live")
        async def live(caller: Viewer) -> Response:
            return self.streams.events(caller, self.listening())

        @router.websocket("/live")
        async def live_socket(websocket: WebSocket, caller: Viewer, limit: Annotated[int, Query(ge=1)] = 1) -> None:
            await self.streams.web_socket(websocket, caller, self.listening())

        @router.websocket("/for/admins")
        async def forgets(websocket: WebSocket) -> None:
            raise AssertionError

        return router


class Served:
    def __init__(self, service: Service, port: int) -> None:
        self.service, self.port = service, port
        self.url = f"http://127.0.0.1:{port}"

    def socket(self, path: str = "/live", headers: dict[str, str] | None = None) -> connect:
        sent = self.service.headers if headers is None else headers
        return listening(self.url + path, sent)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return events(f"{self.url}/live", self.service.headers)

    async def silent(self, *, is_socket: bool = False) -> Any:
        return await silent(self.port, "/live", self.service.headers, is_socket=is_socket)

    async def listeners(self, count: int) -> None:
        await until(lambda: len(self.service.streams) == len(self.service.mailboxes) == count)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def served(
    folder: Path,
    limits: StreamLimits = StreamLimits(),  # noqa: B008 # frozen
    *,
    most: int = 1000,
    clock: Callable[[], float] | None = None,
    waits: WaitLimits = WaitLimits(),  # noqa: B008 # frozen
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Served]:
    service = Service(folder, limits, most, clock)
    app = create_app(service, [service.router()])
    http = serve_http(app, "127.0.0.1", 0, metrics=service.metrics, limits=waits, tls=tls)
    async with asyncio.timeout(60), http as port:
        yield Served(service, port)


@both_loops
def test_both_forms_are_told_the_same_in_order(tmp_path: Path, run: Run):
    async def listen() -> None:
        async with served(tmp_path) as there, there.socket() as heard, there.events() as lines:
            await there.listeners(2)
            assert await next_event(lines) == {"retry": "2000"}
            for number in range(200):
                there.service.tell(Message(f'{{"n":{number},"who":"Émilie"}}', f"r-{number}"))
            for number in range(200):
                text = f'{{"n":{number},"who":"Émilie"}}'
                assert await heard.recv() == text
                assert await next_event(lines) == {"id": f"r-{number}", "data": text}

    run(listen())


@both_loops
def test_who_goes_is_gone(tmp_path: Path, run: Run):
    async def listen() -> None:
        async with served(tmp_path) as there:
            async with there.socket(), there.events():
                await there.listeners(2)
            await there.listeners(0)
            assert there.service.metrics.registry.get_sample_value("whosthere_http_listeners") == 0

    run(listen())


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/live", None, 401, "token_missing"),
        ("/live", "wt_" + 43 * "A", 401, "token_invalid"),
        ("/nothing", None, 401, "token_missing"),
        ("/nothing", "", 404, "not_found"),
        ("/readyz", "", 404, "not_found"),
        ("/for/admins", "", 403, "role_too_low"),
        ("/live?limit=0", "", 422, "request_invalid"),
    ],
)
async def test_a_socket_is_refused_by_a_problem_document(tmp_path, path, token, status, code, caplog):
    async with served(tmp_path) as there:
        headers = there.service.headers if token == "" else {} if token is None else bearer(token)
        with pytest.raises(InvalidStatus) as refused:
            await there.socket(path, headers).__aenter__()
        answer = refused.value.response
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert f'"code":"{code}"'.encode() in answer.body
        assert len(there.service.streams) == 0
    assert caplog.records == []


@both_loops
def test_a_revoked_token_ends_its_streams(tmp_path: Path, run: Run):
    async def listen() -> None:
        async with served(tmp_path) as there, there.socket() as heard, there.events() as lines:
            await there.listeners(2)
            revoke_token(there.service.path, "somebody")
            there.service.tokens.look()
            with pytest.raises(ConnectionClosed) as closed:
                await heard.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token_invalid")
            assert await next_event(lines) == {"retry": "2000"}
            assert (await next_event(lines))["event"] == "end"
            await there.listeners(0)
            assert cut(there, "token_invalid") == 2

    run(listen())


@both_loops
def test_the_services_end_is_theirs(tmp_path: Path, run: Run, caplog):
    async def listen() -> None:
        async with served(tmp_path) as there:
            heard = await there.socket().__aenter__()
            ending = there.events()
            lines = await ending.__aenter__()
            mute = await there.silent()
            await there.listeners(3)
        await heard.wait_closed()
        assert (heard.close_code, heard.close_reason) == (1012, "service_stopping")
        assert await next_event(lines) == {"retry": "2000"}
        assert await next_event(lines) == {
            "event": "end",
            "data": '{"code":"service_stopping","detail":"the service stops; come again"}',
        }
        await ending.__aexit__(None, None, None)
        mute.close()

    run(listen())
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


def cut(there: Served, code: str) -> float:
    found = there.service.metrics.registry.get_sample_value("whosthere_http_listeners_cut_total", {"code": code})
    return found or 0.0


@both_loops
@pytest.mark.parametrize("is_socket", [False, True], ids=["events", "websocket"])
@pytest.mark.parametrize("most", [10_000, 20], ids=["that takes nothing", "whose mailbox is full"])
def test_a_client_that_never_reads_is_cut_off(tmp_path: Path, run: Run, is_socket: bool, most: int, caplog):
    async def listen() -> None:
        async with served(tmp_path, StreamLimits(write_s=0.3), most=most) as there, there.socket() as heard:
            mute = await there.silent(is_socket=is_socket)
            await there.listeners(2)
            told = 0
            while len(there.service.mailboxes) == 2:
                there.service.tell(Message(50_000 * "x", str(told)))
                told += 1
                assert len(await heard.recv()) == 50_000  # who reads is told on
            assert cut(there, "listener_too_slow") == 1
            there.service.tell(Message("after"))
            assert await heard.recv() == "after"
            with suppress(OSError):  # cut off, whatever waited for it
                while await asyncio.get_running_loop().sock_recv(mute, 1 << 20):
                    pass
            mute.close()

    run(listen())
    assert caplog.records == []


@both_loops
def test_pings_of_a_client_that_never_reads_are_not_collected(tmp_path: Path, run: Run):
    async def listen() -> None:
        async with served(tmp_path, StreamLimits(write_s=3600)) as there:
            mute = await there.silent(is_socket=True)
            await there.listeners(1)
            pings = 1000 * (b"\x89\xfd\0\0\0\0" + 125 * b"x")
            for _ in range(1000):
                try:
                    await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(mute, pings), 2)
                except TimeoutError:
                    break  # nobody takes them any more
            else:
                pytest.fail("132 MB of pings were taken")
            mute.close()
            await there.listeners(0)

    run(listen())


async def test_what_a_client_says_is_not_kept(tmp_path):
    async with served(tmp_path) as there, there.socket() as heard:
        for said in ("hello", b"\0", 60_000 * "x", [b"in", b"", b"pieces"]):
            await heard.send(said)
        await there.listeners(1)
        there.service.tell(Message("still here"))
        assert await heard.recv() == "still here"
        await heard.send(70_000 * "x")
        await heard.wait_closed()
        assert heard.close_code == 1009
        await there.listeners(0)


async def test_an_empty_event_says_that_all_is_well(tmp_path):
    now_s = [0.0]
    async with served(tmp_path, clock=lambda: now_s[0]) as there, there.events() as lines:
        assert await next_event(lines) == {"retry": "2000"}
        for _ in range(3):
            now_s[0] += 15.0
            assert await anext(lines) == ":"
            assert await anext(lines) == ""
        there.service.tell(Message("x"))
        assert await next_event(lines) == {"data": "x"}


async def test_no_more_streams_than_are_allowed(tmp_path):
    async with served(tmp_path, StreamLimits(most=1)) as there, there.events():
        await there.listeners(1)
        async with httpx.AsyncClient(base_url=there.url, headers=there.service.headers) as client:
            answer = await client.get("/live")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_listeners")
        with pytest.raises(InvalidStatus) as refused:
            await there.socket().__aenter__()
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize("most", [1, 2, 4])
async def test_no_token_takes_the_streams_of_others(tmp_path, most):
    async with served(tmp_path, StreamLimits(most=5, most_of_one=most)) as there, AsyncExitStack() as stack:
        for _ in range(most):
            await stack.enter_async_context(there.events())
        await there.listeners(most)
        with pytest.raises(InvalidStatus) as refused:
            await there.socket().__aenter__()
        assert refused.value.response.status_code == 503
        other = bearer(make_token(there.service.path, "another", "viewer")[1])
        there.service.tokens.look()
        await stack.enter_async_context(there.socket(headers=other))
        await there.listeners(most + 1)


async def test_a_hundred_listeners_are_told_within_one_process(tmp_path):
    async with served(tmp_path) as there:
        heard: list[ClientConnection] = [await there.socket().__aenter__() for _ in range(100)]
        await there.listeners(100)
        for number in range(20):
            there.service.tell(Message(str(number)))
        for one in heard:
            assert [await one.recv() for _ in range(20)] == [str(number) for number in range(20)]
        await asyncio.gather(*(one.close() for one in heard))
        await there.listeners(0)


@both_loops
def test_a_stream_has_no_time_limit_of_connections_that_ask_for_nothing(tmp_path: Path, run: Run):
    async def listen() -> None:
        async with served(tmp_path, waits=WaitLimits(head_s=0.3)) as there, there.socket() as heard:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
            assert await reader.read() == b""  # that one had
            writer.close()
            await there.listeners(1)
            there.service.tell(Message("still here"))
            assert await heard.recv() == "still here"

    run(listen())


@both_loops
def test_streams_over_tls(tmp_path: Path, run: Run, caplog):
    files = make_certificate(tmp_path)
    tls, trusted = Certificate(files.settings).context, ssl.create_default_context(cafile=str(files.ca))

    async def listen() -> None:
        async with served(tmp_path, StreamLimits(write_s=0.3), tls=tls) as there:
            url = f"wss://localhost:{there.port}/live"
            args = {"additional_headers": there.service.headers, "compression": None, "proxy": None, "ssl": trusted}
            async with connect(url, **args) as heard, connect(url, max_queue=1, **args) as deaf:
                deaf.transport.pause_reading()
                await there.listeners(2)
                while len(there.service.mailboxes) == 2:
                    there.service.tell(Message(50_000 * "x"))
                    assert len(await heard.recv()) == 50_000
                assert cut(there, "listener_too_slow") == 1
                deaf.transport.abort()
        assert heard.close_code in (1000, 1012)

    run(listen())
    assert caplog.records == []
