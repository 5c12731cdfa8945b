"""Publishers as they are, ffmpeg and GStreamer, into the RTSP server: let in, watched, lost, and taken again."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from streamer.errors import StreamLost, StreamStalled
from streamer.ingest.frame import Frame
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.ingest.rtsp import front_desk, login_guard
from streamer.ingest.rtsp.server import RtspServer
from streamer.settings import CameraSettings, RtspIngestSettings
from streamer.telemetry.metrics import Metrics
from tests.live.publishers import Program, Publishing, Transport, by_ffmpeg, by_gst
from tests.recognition.fakes import until
from tests.streamer.ingest.clips import assert_no_camera_thread, write_clip
from tests.streamer.ingest.rtsp.publisher import Publisher, close_all

pytestmark = pytest.mark.live

USER, PASSWORD = "a@a", "p@ss:w/rd %?#&="
WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert_no_camera_thread()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """Two seconds each, a keyframe every second; `b`: with B-frames, `sound`: its sound comes first."""
    folder = tmp_path_factory.mktemp("clips")
    made = {"h264": write_clip(folder / "h264.mp4", 50, size=(320, 192))}
    for name, codec, options in (
        ("b", "libx264", ["-bf", "3"]),
        ("h265", "libx265", ["-x265-params", "log-level=error"]),
        ("large", "libx264", ["-vf", "scale=640:384"]),
        ("sound", "libx264", ["-f", "lavfi", "-i", "sine", "-map", "1:a", "-map", "0:v", "-c:a", "aac", "-t", "2"]),
    ):
        made[name] = folder / f"{name}.mp4"
        command = ["ffmpeg", "-v", "error", "-i", made["h264"], *options, "-c:v", codec, "-g", "25", made[name]]
        subprocess.run(command, check=True)
    return made


@dataclass(eq=False)
class Ingest:
    """A server with one camera."""

    server: RtspServer
    point: PublishPoint
    metrics: Metrics
    folder: Path
    started: int = 0

    def url(self, password: str = PASSWORD, tail: str = "") -> str:
        return f"rtsp://{quote(USER, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.server.port}/door{tail}"

    def log(self) -> Path:
        self.started += 1
        return self.folder / f"publisher-{self.started}.log"

    def publisher(self, program: Program, clip: Path, transport: Transport = "tcp") -> Publishing:
        if program == "gst":
            return by_gst(self.url(), self.log(), transport=transport)
        return by_ffmpeg(clip, self.url(), self.log(), transport=transport)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[PublishedSource]:
        """The next publisher's pictures."""
        async with asyncio.timeout(WITHIN_S):
            source = PublishedSource(self.point, self.point.camera)
            await source.__aenter__()
        try:
            yield source
        finally:
            await source.__aexit__(None, None, None)

    def refused(self, code: str) -> float:
        return self.metrics.registry.get_sample_value("whosthere_ingest_refused_total", {"code": code}) or 0.0


async def frames(source: PublishedSource, count: int = 5) -> list[Frame]:
    async with asyncio.timeout(WITHIN_S):
        return [await source.take() for _ in range(count)]


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    camera = CameraSettings(url="publish://", user=USER, password=PASSWORD, fps=120, read_timeout_s=4.0)
    point, metrics = PublishPoint("door", camera), Metrics()
    async with RtspServer(RtspIngestSettings(port=0), {"door": point}, metrics) as server:
        running = asyncio.create_task(server.run(), name="rtsp ingest")
        yield Ingest(server, point, metrics, tmp_path)
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_pictures_come(ingest: Ingest, clips, program: Program, transport: Transport):
    with ingest.publisher(program, clips["h264"], transport):
        async with ingest.watched() as source:
            seen = await frames(source)
    assert {(frame.width, frame.height) for frame in seen} == {(320, 192)}
    assert ingest.refused("login_refused") == 0


@pytest.mark.parametrize("clip", ["b", "h265", "sound"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_streams_as_files_have_them(ingest: Ingest, clips, clip: str, transport: Transport):
    options = ("-map", "0:a", "-map", "0:v") if clip == "sound" else ()
    with by_ffmpeg(clips[clip], ingest.url(), ingest.log(), *options, transport=transport):
        async with ingest.watched() as source:
            assert (await frames(source, 40))[-1].width == 320


async def test_h265_of_gstreamer(ingest: Ingest):
    with by_gst(ingest.url(), ingest.log(), codec="h265"):
        async with ingest.watched() as source:
            await frames(source)


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
async def test_a_url_with_a_query(ingest: Ingest, clips, program: Program):
    url = ingest.url(tail="?token=x&y=1")
    with by_gst(url, ingest.log()) if program == "gst" else by_ffmpeg(clips["h264"], url, ingest.log()):
        async with ingest.watched() as source:
            await frames(source)


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
@pytest.mark.parametrize("offered", [("SHA-256", "MD5"), ("MD5",), ()], ids=["all", "MD5", "Basic"])
async def test_every_login_that_they_know(ingest: Ingest, clips, program: Program, offered, monkeypatch):
    monkeypatch.setattr(login_guard, "_ALGORITHMS", offered)
    with ingest.publisher(program, clips["h264"]):
        async with ingest.watched() as source:
            await frames(source)


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
@pytest.mark.parametrize("password", ["wrong", "", PASSWORD.lower() + "x"])
async def test_a_wrong_password_is_refused(ingest: Ingest, clips, program: Program, password: str):
    url = ingest.url(password)
    with by_gst(url, ingest.log()) if program == "gst" else by_ffmpeg(clips["h264"], url, ingest.log()) as publishing:
        assert await asyncio.to_thread(publishing.code) != 0
        assert "nauthori" in publishing.said
    assert not ingest.point.is_taken


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_killed_and_started_again_otherwise(ingest: Ingest, clips, program: Program, transport: Transport):
    """With another codec, another size; the camera has it as soon as it is there."""
    with ingest.publisher(program, clips["h264"], transport) as publishing:
        async with ingest.watched() as source:
            await frames(source)
            publishing.send(signal.SIGKILL)
            with pytest.raises(StreamLost):
                await frames(source, 1000)
    for clip, size in (("h265", (320, 192)), ("large", (640, 384))):
        with ingest.publisher("ffmpeg", clips[clip], transport):
            async with ingest.watched() as source:
                assert {(frame.width, frame.height) for frame in await frames(source)} == {size}


async def test_one_that_ends_says_so(ingest: Ingest, clips):
    with by_ffmpeg(clips["h264"], ingest.url(), ingest.log(), loop=False) as publishing:
        async with ingest.watched() as source:
            with pytest.raises(StreamLost, match="it was ended by its publisher"):
                await frames(source, 1000)
            assert await asyncio.to_thread(publishing.code) == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_stopped_for_a_while_it_goes_on(ingest: Ingest, clips, transport: Transport):
    with ingest.publisher("ffmpeg", clips["h264"], transport) as publishing:
        async with ingest.watched() as source:
            await frames(source)
            publishing.send(signal.SIGSTOP)
            await until_silent(source)
            publishing.send(signal.SIGCONT)
            await frames(source, 30)
            assert ingest.point.is_taken


async def until_silent(source: PublishedSource) -> None:
    while True:
        try:
            async with asyncio.timeout(1.0):
                await source.take()
        except TimeoutError:
            return


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_stopped_for_too_long_it_is_gone(ingest: Ingest, clips, transport: Transport):
    with ingest.publisher("ffmpeg", clips["h264"], transport) as publishing:
        async with ingest.watched() as source:
            await frames(source)
            publishing.send(signal.SIGSTOP)
            with pytest.raises(StreamStalled):
                await frames(source, 1000)
        assert not ingest.point.is_taken
        publishing.send(signal.SIGCONT)
        assert await asyncio.to_thread(publishing.code) != 0


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
async def test_a_second_one_is_told_that_there_is_one(ingest: Ingest, clips, program: Program):
    with ingest.publisher("ffmpeg", clips["h264"]):
        async with ingest.watched() as source:
            await frames(source)
            with ingest.publisher(program, clips["h264"]) as second:
                assert await asyncio.to_thread(second.code) != 0
                assert program == "gst" or "somebody publishes to it already" in second.said
            await frames(source, 40)
    assert ingest.refused("publisher_present") == 1


async def test_a_silent_one_gives_way(ingest: Ingest, clips, monkeypatch):
    monkeypatch.setattr("streamer.ingest.publish.point.SILENT_AFTER_S", 0.5)
    ingest.point.camera = ingest.point.camera.model_copy(update={"stalled_after_s": 0.5, "read_timeout_s": 60.0})
    with ingest.publisher("ffmpeg", clips["h264"]) as first:
        async with ingest.watched() as source:
            await frames(source)
            first.send(signal.SIGSTOP)
            await until_silent(source)
            with ingest.publisher("ffmpeg", clips["large"]):
                with pytest.raises(StreamLost, match="another one took its place"):
                    await frames(source, 1000)
                async with ingest.watched() as now:
                    assert (await frames(now))[0].width == 640


@pytest.mark.parametrize("program", ["ffmpeg", "gst"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_sent_away_it_ends(ingest: Ingest, clips, program: Program, transport: Transport):
    """GStreamer comes back with bare packets, and ends when it is told that there is no session."""
    with ingest.publisher(program, clips["h264"], transport) as publishing:
        async with ingest.watched() as source:
            await frames(source)
        if program == "gst" and transport == "udp":
            # It sends on to ports that nobody has, and none of that is seen.
            assert not ingest.point.is_taken
            with ingest.publisher("ffmpeg", clips["large"]):
                async with ingest.watched() as source:
                    assert {(frame.width, frame.height) for frame in await frames(source, 30)} == {(640, 384)}
            assert not publishing.is_over
            return
        assert await asyncio.to_thread(publishing.code) != 0
    assert (ingest.refused("session_unknown") > 0) == (program == "gst")


async def test_idle_and_mute_ones_keep_nobody_out(ingest: Ingest, clips):
    process = psutil.Process()
    descriptors = process.num_fds()
    idle = [await Publisher.connect(ingest.server.port) for _ in range(200)]
    beyond = len(idle) - front_desk.MOST_WAITING_OF_ONE
    assert [await one.closed() for one in idle[:beyond]] == [b""] * beyond, "the oldest were hung up on"
    assert ingest.refused("too_many_connections") == beyond
    assert not any(one.reader.at_eof() for one in idle[beyond:])
    mute = await Publisher.connect(ingest.server.port, login=(USER, PASSWORD))
    await mute.announce()
    await mute.set_up()
    with ingest.publisher("ffmpeg", clips["h264"]):
        async with ingest.watched() as source:
            await frames(source, 30)
    assert ingest.refused("too_many_connections") == beyond + 2
    await close_all()
    await until(lambda: process.num_fds() <= descriptors)


async def test_one_that_publishes_and_sends_nothing(ingest: Ingest, clips):
    mute = await Publisher.connect(ingest.server.port, login=(USER, PASSWORD))
    await mute.publish()
    async with ingest.watched() as source:
        with pytest.raises(StreamStalled):
            await frames(source)
    with ingest.publisher("ffmpeg", clips["h264"]):
        async with ingest.watched() as source:
            await frames(source)
    await close_all()


async def test_the_server_ends_in_full_flight(ingest: Ingest, clips):
    with ingest.publisher("ffmpeg", clips["h264"]) as one:
        async with ingest.watched() as source:
            await frames(source)
            async with asyncio.timeout(30):
                await ingest.server.close()
            with pytest.raises(StreamLost):
                await frames(source, 1000)
        await until(lambda: one.is_over)
