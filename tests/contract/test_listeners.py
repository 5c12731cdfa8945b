"""Those who listen, to a real service, for longer than it is asked: streams that nobody reads, revoked tokens, rubbish,
connections that say nothing; everybody else is served meanwhile.
"""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.contract.home import CAMERA, Home, home
from tests.streamer.access.keys import bearer

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

PATHS = ("/api/v1/events/live", f"/api/v1/cameras/{CAMERA}/faces")
MUTE, LORIS = 40, 200
MOST_GROWN_MIB = 60
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with home(tmp_path_factory.mktemp("home")) as found:
        yield found
        assert [line for line in found.service.log() if line["level"] in ("error", "critical")] == []


def listening(found: Home, path: str, token: str) -> ClientConnection:
    url = found.url.replace("http", "ws", 1) + path
    return connect(url, additional_headers=bearer(token), compression=None, proxy=None)


def lines_of(found: Home, path: str, token: str, stack: ExitStack) -> Iterator[str]:
    """Of a stream of events."""
    client = stack.enter_context(httpx.Client(base_url=found.url, timeout=WITHIN_S))
    headers = bearer(token) | {"Accept": "text/event-stream"}
    answer = stack.enter_context(client.stream("GET", path, headers=headers))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.iter_lines()


@pytest.mark.parametrize("path", PATHS)
def test_a_revoked_token_ends_what_was_begun_with_it(found: Home, path: str):
    secret = found.service.run("tokens", "make", "leaving", "--role", "viewer").strip()
    with ExitStack() as stack, httpx.Client(base_url=found.url, headers=bearer(secret), timeout=60) as client:
        _until(lambda: client.get("/api/v1/people").status_code == 200)
        web_socket = stack.enter_context(listening(found, path, secret))
        lines = lines_of(found, path, secret, stack)
        assert "{" in str(web_socket.recv(timeout=WITHIN_S))
        assert next(line for line in lines if line.startswith("data:"))
        found.service.run("tokens", "revoke", "leaving")
        assert _ended(web_socket) == (1008, "token_invalid")
        assert "token_invalid" in "".join(lines)
        assert client.get("/api/v1/people").status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_whoever_never_reads_is_no_burden(found: Home, path: str):
    """Many of them, of both kinds; one who does read gets its events, and memory stays."""
    process = psutil.Process(found.service.pid)
    with ExitStack() as stack:
        lines = lines_of(found, path, found.tokens["viewer"], stack)
        assert next(line for line in lines if line.startswith("data:"))
        before = process.memory_info().rss
        for number in range(MUTE):
            stack.enter_context(closing(_mute(found, path, web_socket=number % 2 == 0)))
        for _ in range(10):
            assert next(line for line in lines if line.startswith("data:"))
        assert (process.memory_info().rss - before) / 2**20 < MOST_GROWN_MIB
        assert httpx.get(f"{found.url}/healthz").status_code == 200


def _mute(found: Home, path: str, *, web_socket: bool) -> socket.socket:
    where = httpx.URL(found.url)
    one = socket.create_connection((where.host, where.port or 80), timeout=WITHIN_S)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    token = found.tokens["viewer"]
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{upgrade if web_socket else ''}\r\n"
    one.sendall(head.encode())
    return one


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("sent", ["rubbish", "{}", b"\0" * 1000, "é" * 20_000, b"x" * 5_000_000])
def test_what_a_listener_says_is_not_kept(found: Home, path: str, sent: str | bytes):
    before = psutil.Process(found.service.pid).memory_info().rss
    with listening(found, path, found.tokens["viewer"]) as web_socket, contextlib.suppress(ConnectionClosed):
        for _ in range(20):
            web_socket.send(sent)
        web_socket.recv(timeout=WITHIN_S)
    assert (psutil.Process(found.service.pid).memory_info().rss - before) / 2**20 < MOST_GROWN_MIB


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        *((path, None, 401) for path in PATHS),
        *((path, "revoked", 401) for path in PATHS),
        ("/api/v1/cameras/nowhere/faces", "viewer", 404),
        ("/api/v1/people", "viewer", 404),
        ("/nowhere", "viewer", 404),
    ],
)
def test_a_web_socket_that_may_not_be_is_refused_as_a_request_is(
    found: Home, path: str, token: str | None, status: int
):
    secret = found.tokens[token] if token else ""
    url = found.url.replace("http", "ws", 1) + path
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers=bearer(secret) if secret else {}, proxy=None)
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("begun", [b"", b"GET", b"POST /api/v1/people HTTP/1.1\r\nHost: x\r\nX-A: "], ids=repr)
def test_connections_that_say_next_to_nothing_leave_room_for_others(found: Home, begun: bytes):
    where = httpx.URL(found.url)
    with ExitStack() as stack:
        for _ in range(LORIS):
            one = stack.enter_context(closing(socket.create_connection((where.host, where.port or 80))))
            one.sendall(begun)
        with found.client("viewer") as client:
            for _ in range(5):
                assert client.get("/api/v1/people").status_code == 200


def test_a_stop_ends_all_of_them(tmp_path: Path):
    with home(tmp_path) as found, ExitStack() as stack:
        web_sockets = [stack.enter_context(listening(found, path, found.tokens["viewer"])) for path in PATHS]
        streams = [lines_of(found, path, found.tokens["viewer"], stack) for path in PATHS]
        mute = [stack.enter_context(closing(_mute(found, path, web_socket=True))) for path in PATHS for _ in range(5)]
        assert found.service.stop() == 0
        for web_socket in web_sockets:
            assert _ended(web_socket) == (1012, "service_stopping")
        for lines in streams:
            assert "service_stopping" in "".join(lines)
        assert len(mute) == 10


def _ended(web_socket: ClientConnection) -> tuple[int, str]:
    """How it was closed, whatever came before."""
    with contextlib.suppress(ConnectionClosed):
        for _ in web_socket:  # to its end, clean or not
            pass
    return web_socket.close_code or 0, web_socket.close_reason or ""


def _until(holds) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)
