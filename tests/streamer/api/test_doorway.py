"""Connections that ask for nothing, over real sockets, under both event loops, with TLS and without."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvloop

from streamer.api.certificate import Certificate
from streamer.api.doorway import WaitLimits
from streamer.api.server import serve_http
from streamer.telemetry.metrics import Metrics
from tests.certificates import make_certificate
from tests.streamer.api.test_server import echo

MUTE = 200
HEADS = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nX: " + 4000 * b"y")
HELLOS = (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01")
Run = Callable[[Coroutine[Any, Any, None]], None]
Mute = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def refused(metrics: Metrics, code: str) -> float:
    return metrics.registry.get_sample_value("whosthere_http_refused_total", {"code": code}) or 0.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def mute_ones(port: int, count: int = MUTE, says: Sequence[bytes] = HEADS) -> Mute:
    found = []
    for number in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(says[number % len(says)])
        found.append((reader, writer))
    return found


async def ended(mute: Mute) -> None:
    """All of them are closed by the other side."""
    async with asyncio.timeout(20):
        for reader, writer in mute:
            with suppress(OSError):
                await reader.read()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@LOOPS
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_request_gets_in_beside_two_hundred_that_say_nothing(tmp_path: Path, run: Run, is_tls: bool):
    files = make_certificate(tmp_path)
    tls = Certificate(files.settings).context if is_tls else None
    client_tls = ssl.create_default_context(cafile=str(files.ca))

    async def visit() -> None:
        metrics = Metrics()
        async with (
            serve_http(echo, "127.0.0.1", 0, tls=tls, metrics=metrics, limits=WaitLimits(head_s=3600)) as port,
            httpx.AsyncClient(verify=client_tls, base_url=f"http{'s' * is_tls}://localhost:{port}") as client,
        ):
            mute = await mute_ones(port, says=HELLOS if is_tls else HEADS)
            assert (await client.get("/")).status_code == 200
            await until(lambda: refused(metrics, "too_many_connections") >= MUTE // 2)
            assert (await client.get("/")).status_code == 200
            assert refused(metrics, "connection_silent") == 0
        await ended(mute)

    run(visit())


@LOOPS
@pytest.mark.parametrize("is_tls", [False, True])
def test_they_are_closed_in_time_and_their_descriptors_are_back(tmp_path: Path, run: Run, is_tls: bool, caplog):
    tls = Certificate(make_certificate(tmp_path).settings).context if is_tls else None

    async def visit() -> None:
        process, metrics = psutil.Process(), Metrics()
        limits = WaitLimits(head_s=0.3, most=2 * MUTE, most_of_one=2 * MUTE)
        async with serve_http(echo, "127.0.0.1", 0, tls=tls, metrics=metrics, limits=limits) as port:
            before = process.num_fds()
            mute = await mute_ones(port, says=HELLOS if is_tls else HEADS)
            await ended(mute)
            await until(lambda: process.num_fds() <= before)
        assert refused(metrics, "too_many_connections") == 0
        assert refused(metrics, "connection_silent") == MUTE

    run(visit())
    assert "Traceback" not in caplog.text


@LOOPS
@pytest.mark.parametrize("second", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"POST / HTTP/1.1\r\nContent-Le"])
def test_after_an_answer_it_has_as_little_time_again(run: Run, second: bytes):
    """What begins a second request ends uvicorn's wait; ours goes on."""

    async def visit() -> None:
        metrics = Metrics()
        async with serve_http(echo, "127.0.0.1", 0, metrics=metrics, limits=WaitLimits(head_s=0.3)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.write(second)
            await ended([(reader, writer)])
            await until(lambda: refused(metrics, "connection_silent") == 1)

    run(visit())


@LOOPS
def test_an_answer_that_takes_long_is_no_silence(run: Run):
    async def visit() -> None:
        metrics, go_on = Metrics(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await go_on.wait()
            await echo(scope, receive, send)

        async with (
            serve_http(slow, "127.0.0.1", 0, metrics=metrics, limits=WaitLimits(head_s=0.2)) as port,
            httpx.AsyncClient(timeout=20) as client,
            asyncio.TaskGroup() as tasks,
        ):
            answer = tasks.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await ended(await mute_ones(port, 5))  # so it is past their time
            assert refused(metrics, "connection_silent") > 0
            go_on.set()
            assert (await answer).status_code == 200

    run(visit())


async def test_a_trusted_proxy_may_have_all_places():
    metrics = Metrics()
    limits = WaitLimits(head_s=3600, most=20, most_of_one=3)
    async with serve_http(
        echo, "127.0.0.1", 0, trusted_proxies=["127.0.0.0/8"], metrics=metrics, limits=limits
    ) as port:
        mute = await mute_ones(port, 20)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200
        assert refused(metrics, "too_many_connections") == 1
    await ended(mute)
