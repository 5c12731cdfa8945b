"""Whether anybody answers at an address: a listener, a refusal, a queue that is full (its packets vanish), names."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from streamer.pipeline import reach
from streamer.pipeline.reach import is_silent


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        yield server


@contextlib.contextmanager
def full(server: socket.socket) -> Iterator[None]:
    """Whoever comes now gets no answer at all, as from a host whose packets vanish."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield


def url(server: socket.socket, scheme: str = "rtsp") -> str:
    return f"{scheme}://ada:p%40ss@127.0.0.1:{server.getsockname()[1]}/door?x=1"


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtsps", "HTTPS"])
async def test_somebody_answers(listener, scheme):
    assert not await is_silent(url(listener, scheme), 10)


async def test_a_refusal_is_an_answer(free_port):
    assert not await is_silent(f"rtsp://127.0.0.1:{free_port}/door", 10)


async def test_nobody_answers(listener, monkeypatch):
    monkeypatch.setattr(reach, "ASK_EVERY_S", 0.05)
    with full(listener):
        assert await is_silent(url(listener), 0.3)


async def test_whoever_comes_back_is_asked_anew_before_the_system_would(listener, monkeypatch):
    monkeypatch.setattr(reach, "ASK_EVERY_S", 0.05)
    asked: list[float] = []

    async def ask(_where: object, answered: asyncio.Event) -> None:
        asked.append(1)
        if len(asked) == 3:
            answered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(reach, "_ask", ask)
    async with asyncio.timeout(10):
        assert not await is_silent(url(listener), 10)
    assert len(asked) == 3


@pytest.mark.parametrize(
    "target",
    [
        "rtsp://camera.local/door",
        "rtsp://localhost:1/x",
        "/dev/video0",
        "clip.mp4",
        "usb:0",
        "publish://",
        "rtsp://[",
        "rtsp://192.0.2.9:x/",
    ],
)
async def test_what_has_no_address_of_its_own_is_opened(target):
    assert not await is_silent(target, 10)
