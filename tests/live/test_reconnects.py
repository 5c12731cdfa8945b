"""Fifty openings of one camera, left in every way: the server holds no session of them, and this process no thread."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from streamer.errors import StreamStalled
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from tests.certificates import make_certificate
from tests.live.login_gate import PASSWORD, USER, LoginGate
from tests.live.servers import RtspServer, unused_port
from tests.streamer.ingest.clips import camera_threads, drain, write_clip

pytestmark = pytest.mark.live

TIMES, AT_ONCE = 50, 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 25, size=(320, 192))


@pytest.fixture(scope="module")
def server(clip) -> Iterator[RtspServer]:
    with RtspServer(unused_port(), {"door": clip}, stalling={"stalls": (clip, 0.8)}) as server:
        yield server


async def left_after_a_frame(camera: CameraSettings) -> None:
    async with open_source("door", camera, camera.url) as source:
        await source.take()


async def left_while_it_opens(camera: CameraSettings) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2), open_source("door", camera, camera.url):
            pass


async def left_when_it_stalls(camera: CameraSettings) -> None:
    camera = camera.model_copy(update={"read_timeout_s": 1.0})
    async with open_source("door", camera, camera.url) as source:
        with pytest.raises(StreamStalled):
            await drain(source)


async def many(leave: Callable[[CameraSettings], Awaitable[None]], camera: CameraSettings) -> None:
    async def some() -> None:
        for _ in range(TIMES // AT_ONCE):
            await leave(camera)

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(some(), name=f"some {number}")


async def assert_nothing_is_left(server: RtspServer, descriptors: int) -> None:
    async with asyncio.timeout(40):  # the server's own limit on silent sessions is a minute
        while server.sessions() or camera_threads():
            await asyncio.sleep(0.05)
    assert not [thread.name for thread in threading.enumerate() if "login" in thread.name]
    assert psutil.Process().num_fds() <= descriptors + 2


WAYS_TO_LEAVE = {
    "after a frame": ("door", left_after_a_frame),
    "while it opens": ("door", left_while_it_opens),
    "when it stalls": ("stalls", left_when_it_stalls),
}


async def test_the_server_tells_its_sessions(server):
    camera = CameraSettings(url=server.url("door"))
    async with asyncio.timeout(20), open_source("door", camera, camera.url) as source:
        await source.take()
        assert server.sessions() == 1


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("way", WAYS_TO_LEAVE)
async def test_sessions_do_not_pile_up(server, way, transport):
    mount, leave = WAYS_TO_LEAVE[way]
    descriptors = psutil.Process().num_fds()
    await many(leave, CameraSettings(url=server.url(mount), transport=transport))
    await assert_nothing_is_left(server, descriptors)


async def test_nor_do_they_behind_the_login_that_is_relayed(server):
    with LoginGate(server.port, ["SHA-256"]) as gate:
        descriptors = psutil.Process().num_fds()
        url = f"rtsp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{gate.port}/door"
        await many(left_after_a_frame, CameraSettings(url=url))
        # The gate keeps its own sockets until it is left.
        await assert_nothing_is_left(server, descriptors + 3 * TIMES * 2)
        assert gate.methods["TEARDOWN"] == TIMES


async def test_nor_over_tls(clip, tmp_path):
    files = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
    with RtspServer(unused_port(), {"door": clip}, certificate=both) as server:
        descriptors = psutil.Process().num_fds()
        await many(left_after_a_frame, CameraSettings(url=server.url("door")))
        await assert_nothing_is_left(server, descriptors)
