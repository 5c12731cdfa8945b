"""Where HTTP may listen, and TLS over real sockets, under both event loops."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from streamer.api import server
from streamer.api.certificate import Certificate
from streamer.api.server import prepare_http, serve_http
from streamer.errors import CertificateExpired, CertificateUnusable, HttpAddressInvalid, HttpUnprotected
from streamer.settings import HttpSettings, TlsSettings
from streamer.telemetry.metrics import Metrics
from tests.certificates import NOW, make_certificate
from tests.streamer.api.streaming.listeners import silent

Run = Callable[[Coroutine[Any, Any, None]], None]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Who asks, as the application sees it."""
    request = Request(scope)
    answer = JSONResponse({"client": request.client.host if request.client else None, "scheme": request.url.scheme})
    await answer(scope, receive, send)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "fe80::1"])
async def test_beyond_this_machine_it_needs_tls_or_a_proxy(host):
    with pytest.raises(
        HttpUnprotected, match=rf"^http.host {host} is open to the network.*http.tls.*trusted_proxies"
    ) as c:
        await prepare_http(HttpSettings(host=host))
    assert "\n" not in str(c.value)
    with pytest.raises(HttpUnprotected):
        async with serve_http(echo, host, 0):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
async def test_on_this_machine_it_needs_nothing(host):
    assert await prepare_http(HttpSettings(host=host)) is None
    async with serve_http(echo, host, 0) as port, httpx.AsyncClient() as client:
        shown = f"[{host}]" if ":" in host else host
        assert (await client.get(f"http://{shown}:{port}/")).json()["scheme"] == "http"


async def test_what_can_not_be_looked_up_is_refused_in_one_line():
    for host in ("no such host", "a..b", "x" * 300):
        with pytest.raises(HttpAddressInvalid, match=r"http\.host") as caught:
            await prepare_http(HttpSettings(host=host))
        assert "\n" not in str(caught.value)


async def test_where_http_is_off_nothing_is_asked_for():
    assert await prepare_http(HttpSettings(enabled=False, host="0.0.0.0")) is None


async def test_a_certificate_is_looked_at_before_anything_starts(tmp_path):
    good = make_certificate(tmp_path, "good")
    over = make_certificate(tmp_path, "over", until=NOW)
    assert await prepare_http(HttpSettings(host="0.0.0.0", tls=good.settings)) is not None
    with pytest.raises(CertificateExpired):
        await prepare_http(HttpSettings(tls=over.settings))
    with pytest.raises(CertificateUnusable):
        await prepare_http(HttpSettings(tls=TlsSettings(cert=good.cert, key=over.key)))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_tls_is_spoken_and_nothing_else(tmp_path: Path, run: Run, host: str, caplog):
    files = make_certificate(tmp_path)
    certificate = Certificate(files.settings)

    async def ask() -> None:
        async with serve_http(echo, host, 0, tls=certificate.context) as port:
            trusting = ssl.create_default_context(cafile=str(files.ca))
            async with httpx.AsyncClient(verify=trusting) as client:
                for name in ("localhost", "127.0.0.1"):
                    assert (await client.get(f"https://{name}:{port}/")).json()["scheme"] == "https"
            async with httpx.AsyncClient() as client:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.get(f"https://localhost:{port}/")
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(f"http://localhost:{port}/")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x16\x03\x01\x00\x05hello")
            async with asyncio.timeout(10):
                await reader.read()
            writer.close()

    run(ask())
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_client_that_says_nothing_does_not_hold_up_the_end(tmp_path: Path, run: Run):
    certificate = Certificate(make_certificate(tmp_path).settings)

    async def ask() -> None:
        async with asyncio.timeout(20), serve_http(echo, "127.0.0.1", 0, tls=certificate.context) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    run(ask())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_named_proxy_is_believed_and_others_are_not(run: Run):
    async def ask() -> None:
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        async with httpx.AsyncClient() as client:
            async with serve_http(echo, "0.0.0.0", 0, trusted_proxies=["127.0.0.1"]) as port:
                seen = (await client.get(f"http://127.0.0.1:{port}/", headers=forwarded)).json()
                assert seen == {"client": "203.0.113.9", "scheme": "https"}
            async with serve_http(echo, "0.0.0.0", 0, trusted_proxies=["192.0.2.1"], metrics=Metrics()) as port:
                seen = (await client.get(f"http://127.0.0.1:{port}/", headers=forwarded)).json()
                assert seen == {"client": "127.0.0.1", "scheme": "http"}

    run(ask())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("pieces", "size", "requests"), [(100, 1_000_000, 1), (1, 20_000_000, 3), (1, 100_000, 400)], ids=str
)
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(monkeypatch, run: Run, pieces, size, requests):
    monkeypatch.setattr(server, "TAKE_S", 0.3)
    under_way = set[int]()
    begun = asyncio.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        under_way.add(id(scope))
        begun.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        under_way.remove(id(scope))

    async def ask() -> None:
        async with serve_http(large, "127.0.0.1", 0) as port, asyncio.timeout(20):
            mute = await silent(port, "/", {}, times=requests)
            await begun.wait()
            while under_way or _open_at(port):
                await asyncio.sleep(0.01)
            mute.close()

    run(ask())


def _open_at(port: int) -> bool:
    """Whether this process has a connection there still, as who serves."""
    return any(
        one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
        for one in psutil.Process().net_connections("tcp")
    )
