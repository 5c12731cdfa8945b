"""RTSP cameras from a real server: transports, codecs, logins, and every way in which a camera goes away."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import (
    CameraError,
    CameraLoginRefused,
    CameraNotFound,
    CameraUnreachable,
    StreamHasNoVideo,
    StreamLost,
    StreamStalled,
)
from streamer.ingest.frame import Frame
from streamer.ingest.probe import probe
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from streamer.supervise import supervise
from tests.live.servers import RtspServer, unused_port
from tests.streamer.ingest.clips import Played, assert_no_camera_thread, camera_threads, drain, index_of, write_clip
from tests.streamer.ingest.test_picture_joiner import MOVING, luma
from tests.streamer.ingest.writers import by_ffmpeg

pytestmark = pytest.mark.live

LOGIN = ("ada", "hunter2/@:x")


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert_no_camera_thread()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """One second each, 25 frames a second."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        "h264": write_clip(folder / "h264.mp4", 25, size=(320, 192)),
        "h265": write_clip(folder / "h265.mp4", 25, size=(320, 192), codec="libx265"),
    }


@pytest.fixture(scope="module")
def server(clips) -> Iterator[RtspServer]:
    stalling = {"stalls": (clips["h264"], 0.8)}
    with RtspServer(unused_port(), clips, stalling=stalling, audio=["sound"]) as server:
        yield server


@pytest.fixture(scope="module")
def locked(clips) -> Iterator[RtspServer]:
    with RtspServer(unused_port(), {"door": clips["h264"]}, login=LOGIN) as server:
        yield server


def settings(url: str, **others) -> CameraSettings:
    return CameraSettings.model_validate({"url": url, "fps": 25, **others})


async def take(url: str, count: int, **others) -> list[Frame]:
    async with asyncio.timeout(20), open_source("door", settings(url, **others), url) as source:
        return [await source.take() for _ in range(count)]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_frames_arrive(server, codec, transport):
    url = server.url(codec)
    played = Played()
    camera = settings(url, transport=transport)
    async with asyncio.timeout(20), open_source("door", camera, url, 100, played.hooks()) as source:
        assert (source.info.transport, source.info.width) == (transport, 320)
        assert source.info.codec in (codec, "hevc")
        while len(played.frames) < 35:
            played.frames.append(await source.take())
    numbers = [frame.number for frame in played.frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - 99 == 35 + played.counts["dropped"]
    # The clip's second lap follows the first.
    indices = [index_of(frame) for frame in played.frames]
    assert indices[0] < 12, "of those that came while it was opened the newest was taken"
    assert any(later < earlier for earlier, later in itertools.pairwise(indices))
    arrivals = [frame.captured_s for frame in played.frames]
    assert arrivals == sorted(arrivals)
    assert not played.counts["stream_invalid"]


async def test_real_clips_arrive(shared):
    """One of them with sound beside it and one with frames out of order."""
    videos = {
        "friends": shared / "video" / "friends1_720p_6s.mp4",
        "street": shared / "video" / "street_crowd_1080p_4s.mp4",
    }
    with RtspServer(unused_port(), videos) as server:
        friends, street = await asyncio.gather(take(server.url("friends"), 20), take(server.url("street"), 20))
    assert (friends[0].width, street[0].width) == (1280, 1920)


@pytest.mark.parametrize("bframes", [0, 2])
async def test_parameter_sets_before_every_slice(bframes, tmp_path):
    """As GStreamer's payloader sends what a slicing encoder made: every picture is one of the clip's."""
    x264 = f"slices=4:keyint=25:scenecut=0:bframes={bframes}"
    clip = by_ffmpeg(tmp_path / "sliced.mp4", MOVING, 25, "-c:v", "libx264", "-x264-params", x264)
    right = luma(clip)
    with RtspServer(unused_port(), {"sliced": clip}) as server:
        taken = await take(server.url("sliced"), 60)
    wrong = [frame.number for frame in taken if not any((frame.image.luma() == each).all() for each in right)]
    assert not wrong


async def test_sampling_by_arrival(server):
    url = server.url("h264")
    played = Played()
    camera = settings(url, fps=5)
    async with asyncio.timeout(20), open_source("door", camera, url, 0, played.hooks()) as source:
        for _ in range(10):
            played.frames.append(await source.take())
        sampled = source.next_number
    assert sampled == 10 + played.counts["dropped"]
    took_s = played.frames[-1].captured_s - played.frames[0].captured_s
    assert took_s == pytest.approx((sampled - 1) / 5, abs=1.0)


async def test_login(locked):
    assert len(await take(locked.url("door"), 2)) == 2


@pytest.mark.parametrize("login", [("ada", "hunter3"), ("eve", LOGIN[1])])
async def test_wrong_login(locked, login):
    with pytest.raises(CameraLoginRefused, match=r"rtsp://\*\*\*@127.0.0.1:\d+/door refuses the login"):
        await take(locked.url("door", login), 1)


async def test_the_password_shows_nowhere(locked, clips, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    seen = []
    with RtspServer(unused_port(), {"door": clips["h264"]}, login=LOGIN) as dying:
        url = dying.url("door")
        source = open_source("door", settings("rtsp://${LOGIN}@camera/door"), url)
        async with asyncio.timeout(20), source:
            await source.take()
            seen += [repr(source), repr(source.info), repr(source.__dict__), *camera_threads()]
            seen += [path.read_text() for path in command_lines()]
            dying.kill()
            with pytest.raises(StreamLost) as lost:
                await drain(source)
            seen.append(everything(lost.value))
    refusals = [
        (url, CameraUnreachable),
        (locked.url("door", ("ada", "hunter2/wrong")), CameraLoginRefused),
        (locked.url("nowhere"), CameraError),
        (locked.url("nowhere") + "?password=hunter2", CameraError),
    ]
    for bad, error in refusals:
        with pytest.raises(error) as refused:
            await take(bad, 1, open_timeout_s=3)
        seen.append(everything(refused.value))
    printed = capfd.readouterr()
    assert "hunter2" not in "\n".join([*seen, caplog.text, printed.out, printed.err])


def command_lines() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]


def readable(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.read_bytes()
        return True
    return False


def everything(error: BaseException) -> str:
    """All that a logger might print of an error and of those behind it."""
    behind = [e for e in (error.__cause__, error.__context__) if e is not None]
    return "\n".join([repr(error), str(error), repr(vars(error)), *map(everything, behind)])


async def test_sound_alone(server):
    with pytest.raises(StreamHasNoVideo):
        await take(server.url("sound"), 1)


async def test_a_path_that_is_not_there(server):
    with pytest.raises(CameraNotFound, match="404"):
        await take(server.url("nowhere"), 1)


async def test_a_refused_connection():
    with pytest.raises(CameraUnreachable, match="connection refused"):
        await take(f"rtsp://127.0.0.1:{unused_port()}/door", 1)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_silent_stall(server, transport):
    url = server.url("stalls")
    camera = settings(url, read_timeout_s=1, transport=transport)
    taken: list[Frame] = []
    async with asyncio.timeout(10), open_source("door", camera, url) as source:
        reader = asyncio.create_task(drain(source, taken))
        while source.silent_s < 0.5:
            await asyncio.sleep(0.01)
        assert not reader.done()
        with pytest.raises(StreamStalled, match="sent no video for 1 s"):
            await reader
    # The last frame that libav's parser held back is as old as the silence: it is not passed off as fresh.
    assert max(b.captured_s - a.captured_s for a, b in itertools.pairwise(taken)) < 1


async def test_leaving_a_stalled_camera_waits_for_no_read(server):
    url = server.url("stalls")
    async with asyncio.timeout(30):
        async with open_source("door", settings(url, read_timeout_s=4), url) as source:
            while source.silent_s < 0.5:
                await asyncio.sleep(0.01)
        assert camera_threads() == ["camera-door", "camera-door-read"]
        while camera_threads():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_killed_server_is_lost_and_found_again(clips, transport):
    server = RtspServer(unused_port(), {"door": clips["h264"]})
    url = server.url("door")
    numbers: list[int] = []
    reported: list[str] = []
    next_number = 0

    async def attempt() -> None:
        nonlocal next_number
        camera = settings(url, transport=transport, open_timeout_s=3, read_timeout_s=3)
        async with open_source("door", camera, url, next_number) as source:
            try:
                numbers.append((await source.take()).number)
                if len(numbers) > 1:
                    return
                server.kill()
                await drain(source)
            finally:
                next_number = source.next_number

    def report(_: str, error: CameraError) -> None:
        reported.append(error.code)
        if reported[-1] == "camera_unreachable":
            server.start()

    try:
        server.start()
        async with asyncio.timeout(40):
            await supervise("door", attempt, report, first_delay_s=0.05, longest_delay_s=0.2)
    finally:
        server.stop()
    assert reported == ["stream_lost", "camera_unreachable"]
    assert numbers[0] < numbers[1]
    assert next_number > numbers[1]


async def test_probe(server):
    url = server.url("h265")
    async with asyncio.timeout(20):
        report = (await probe(url, settings(url))).report
    assert (report.codec, report.width, report.height, report.transport) == ("hevc", 320, 192, "tcp")
    assert report.fps == pytest.approx(25)


async def test_a_probe_watches_a_live_stream(tmp_path):
    night = [np.full((192, 320, 3), 3, np.uint8)] * 25
    clip = by_ffmpeg(tmp_path / "night.mp4", night, 25, "-c:v", "libx264")
    with RtspServer(unused_port(), {"door": clip}) as server:
        url = server.url("door")
        report = (await probe(url, settings(url, fps=10), watch_s=1)).report
    assert report.reading == "a live stream, by its own timestamps; 10 frames a second of its 25"
    assert "its picture is black: check its lens, the light and its infrared lamp" in report.notes
