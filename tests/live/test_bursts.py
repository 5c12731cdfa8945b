"""Streams that come in bursts, from real servers: HLS, HTTP held back by a proxy, RTSP over a network that goes away.

What arrives at once is handed out at the pace of its own timestamps; nobody is left out, and nothing is called a stall.
"""

import asyncio
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from streamer.errors import StreamStalled
from streamer.ingest.frame import Frame
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from tests.http_servers import Quiet, Start, http_servers
from tests.live.servers import RtspServer, need_rtsp_server, unused_port
from tests.streamer.ingest.clips import index_of, write_clip

pytestmark = pytest.mark.live

FRAMES, CLIP_FPS, FPS = 100, 25, 10
# Half a second: a machine that is busy elsewhere for a moment costs the frames of that moment, for the newest counts;
# a burst that is not spread costs nearly all of its own, two seconds' or three.
LONGEST_STEP = CLIP_FPS // 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Four seconds, a keyframe each second; each frame tells its number."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES, fps=CLIP_FPS, size=(320, 192))


@pytest.fixture
def serving() -> Iterator[Start]:
    with http_servers() as start:
        yield start


@asynccontextmanager
async def hls(clip: Path, folder: Path, seconds: int) -> AsyncIterator[Path]:
    """A live playlist that ffmpeg writes; ready when it has two pieces."""
    playlist = folder / "live.m3u8"
    options = [
        "-c",
        "copy",
        "-f",
        "hls",
        "-hls_time",
        str(seconds),
        "-hls_list_size",
        "4",
        "-hls_flags",
        "delete_segments",
    ]
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), *options, str(playlist)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as writer:
        try:
            async with asyncio.timeout(30):
                while not playlist.is_file() or playlist.read_text().count("#EXTINF") < 2:
                    await asyncio.sleep(0.05)
            yield playlist
        finally:
            writer.kill()


async def taken(url: str, seconds: float, **others: object) -> tuple[list[tuple[float, Frame]], float]:
    """Every frame that came in so many seconds after the first, with when it came; and the longest silence."""
    camera = CameraSettings.model_validate({"url": url, "fps": FPS, **others})
    frames: list[tuple[float, Frame]] = []
    silent_s = 0.0
    async with asyncio.timeout(60), open_source("door", camera, url) as source:
        frames.append((time.monotonic(), await source.take()))
        while frames[-1][0] < frames[0][0] + seconds:
            frame = await source.take()
            silent_s = max(silent_s, source.silent_s)
            frames.append((time.monotonic(), frame))
    return frames, silent_s


def assert_no_burst_is_left_out(frames: list[tuple[float, Frame]], seconds: float) -> None:
    numbers = [index_of(frame) for _, frame in frames]
    steps = [(later - earlier) % FRAMES for earlier, later in itertools.pairwise(numbers)]
    # The first piece comes while the stream is opened: of that the newest is taken.
    assert all(1 <= step <= LONGEST_STEP for step in steps[FPS:]), f"{steps}"
    assert len(frames) >= 0.85 * FPS * seconds, f"{steps}"


def assert_paced(frames: list[tuple[float, Frame]], seconds: float, *, burst_s: float) -> None:
    assert_no_burst_is_left_out(frames, seconds)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(frames)]
    assert max(gaps) < 0.6 + 0.15 * burst_s
    late_s = [frame.late_s for _, frame in frames[-FPS:]]
    assert all(late is not None and 0.3 * burst_s < late < 1.5 * burst_s + 0.5 for late in late_s), late_s


async def test_hls_is_handed_out_at_its_own_pace(clip, tmp_path, serving):
    url = serving(partial(type("Files", (Quiet, SimpleHTTPRequestHandler), {}), directory=str(tmp_path)))
    async with hls(clip, tmp_path, 2):
        # A piece comes every two seconds, and the limit on silence is shorter: a burst covers it.
        frames, silent_s = await taken(f"{url}/live.m3u8", 8, read_timeout_s=1.5)
    assert_paced(frames, 8, burst_s=2)
    assert silent_s < 1


async def test_a_proxy_that_holds_back_seconds(clip, tmp_path, serving):
    """A transport stream over HTTP, three seconds of it at once."""
    stream = tmp_path / "stream.ts"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-stream_loop",
        "20",
        "-i",
        str(clip),
        "-c",
        "copy",
        "-f",
        "mpegts",
        str(stream),
    ]
    subprocess.run(command, check=True)
    data, total_s = stream.read_bytes(), 21 * FRAMES / CLIP_FPS
    piece = round(len(data) * 3 / total_s / 188) * 188

    class InBursts(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            began_s = time.monotonic()
            for number, start in enumerate(range(0, len(data), piece)):
                time.sleep(max(0.0, began_s + 3 * number - time.monotonic()))
                try:
                    self.wfile.write(data[start : start + piece])
                except ConnectionError:
                    return

    url = serving(InBursts)
    frames, silent_s = await taken(f"{url}/live.ts", 9)
    assert_paced(frames, 9, burst_s=3)
    assert silent_s < 3, "less than stalled_after_s: a burst covers it"


@asynccontextmanager
async def comes_and_goes(port: int, away_s: float) -> AsyncIterator[int]:
    """A TCP proxy to this port, through which nothing comes from the server for a while, two seconds after it began."""
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, holds: bool) -> None:
        began_s = time.monotonic()
        try:
            while data := await reader.read(65536):
                since_s = time.monotonic() - began_s
                if holds and 2 <= since_s < 2 + away_s:
                    await asyncio.sleep(2 + away_s - since_s)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", port)
        both = (pipe(reader, to_there, False), pipe(there, writer, True))
        tasks.update(asyncio.create_task(one) for one in both)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # the transports' own last callbacks


async def test_what_a_network_held_back_is_caught_up_with(clip):
    need_rtsp_server()
    with RtspServer(unused_port(), {"door": clip}) as server:
        async with comes_and_goes(server.port, 2.0) as port:
            frames, _ = await taken(f"rtsp://127.0.0.1:{port}/door", 12)
    assert_no_burst_is_left_out(frames, 12 - 2)
    late_s = [frame.late_s or 0.0 for _, frame in frames]
    assert max(late_s) > 1.2, "it was away"
    assert late_s[-1] < max(late_s) - 0.3, "and is played a little faster since"


async def test_hls_that_gets_no_further_is_a_stall(clip, tmp_path, serving):
    url = serving(partial(type("Files", (Quiet, SimpleHTTPRequestHandler), {}), directory=str(tmp_path)))
    camera = CameraSettings(url=f"{url}/live.m3u8", fps=FPS, read_timeout_s=3)
    async with hls(clip, tmp_path, 2):
        source = open_source("door", camera, camera.url)
        await source.__aenter__()

    async def take_all() -> None:
        async with asyncio.timeout(30):
            while True:
                await source.take()

    try:
        with pytest.raises(StreamStalled):
            await take_all()
    finally:
        await source.__aexit__(None, None, None)
