"""Whether anybody answers at an address: a listener, a refusal, a queue that is full (its packets vanish), names."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from streamer.pipeline import reach
from streamer.pipeline.reach import MOST, Reach


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


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(reach, "ANSWERS_WITHIN_S", 0.3)


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtsps", "HTTPS"])
async def test_somebody_answers(listener, scheme):
    assert not await Reach().is_silent(url(listener, scheme))


async def test_a_refusal_is_an_answer(free_port):
    assert not await Reach().is_silent(f"rtsp://127.0.0.1:{free_port}/door")


async def test_nobody_answers_until_it_is_opened_all_the_same(listener):
    asked = Reach()
    with full(listener):
        found = [await asked.is_silent(url(listener)) for _ in range(MOST + 2)]
    assert found == [True] * MOST + [False, True]


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
    assert not await Reach().is_silent(target)
