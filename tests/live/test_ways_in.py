"""Every protocol by which cameras are pulled, and RTSP pushed, from real senders: what is seen, limits, secrets.

RTSP's own matters are in test_rtsp.py, HTTP's in tests/streamer/ingest/test_http.py and test_mjpeg.py.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import ssl
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import pytest

from recognition.image import ArrayImage
from streamer.errors import (
    CameraNotFound,
    CameraProtocolMissing,
    CameraUnreachable,
    StreamHasNoVideo,
    StreamLost,
    StreamStalled,
)
from streamer.ingest.frame import Frame
from streamer.ingest.probe import probe
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from tests.certificates import Files, make_certificate
from tests.live.servers import RtspServer, unused_port
from tests.live.ways_in import PUBLISHED, WAYS, listening, published, srt, srt_handed_on, stopped
from tests.streamer.ingest.clips import assert_no_camera_thread, camera_threads, drain, index_of, write_clip
from tests.streamer.ingest.test_shape import FPS, MOVING, SCENE, X264, assert_seen_as_square, look, stored
from tests.streamer.ingest.writers import by_ffmpeg, woven

__all__ = ["look"]  # a fixture

pytestmark = pytest.mark.live

KEY = "hunter2"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert_no_camera_thread()


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 100, size=(320, 192))


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """On its side, fields of pixels twice as wide as high; all of it is told by H.264 alone, as live streams do."""
    fields = [cv2.resize(cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE), (320, 960)) for picture in MOVING]
    turned = ("-bsf:v", "dump_extra=freq=k,h264_metadata=display_orientation=insert:rotate=90")
    told = ("-vf", "setsar=2/1,setfield=tff", "-flags", "+ilme+ildct", "-x264-params", f"tff=1:keyint={FPS}:bframes=0")
    path = tmp_path_factory.mktemp("odd") / "odd.mp4"
    return by_ffmpeg(path, woven(fields, top_first=True), FPS, *told, *X264, *turned)


@pytest.fixture(scope="module")
def squeezed(tmp_path_factory) -> Path:
    return by_ffmpeg(tmp_path_factory.mktemp("odd") / "squeezed.mp4", stored(480, 640), FPS, "-vf", "setsar=2/1", *X264)


def settings(url: str, **others: object) -> CameraSettings:
    return CameraSettings.model_validate({"url": url, "fps": 25, **others})


async def take(url: str, count: int, **others: object) -> list[Frame]:
    async with asyncio.timeout(30), open_source("door", settings(url, **others), url) as source:
        return [await source.take() for _ in range(count)]


async def sent(way: str, clip: Path, folder: Path, count: int) -> list[Frame]:
    """The first frames of a clip that comes by this way."""
    if way in PUBLISHED:
        async with asyncio.timeout(30), published(way, clip, folder) as source:
            return [await source.take() for _ in range(count)]
    with WAYS[way](clip=clip, folder=folder) as url:
        return await take(url, count)


@pytest.mark.parametrize("way", [way for way in (*WAYS, *PUBLISHED) if way != "mjpeg"])
async def test_the_picture_is_as_it_was_meant(way, odd, tmp_path, look):
    """Not the first one alone: between keyframes nothing repeats how it is turned."""
    frames = await sent(way, odd, tmp_path / "sent", 3)
    for frame in frames:
        box, _ = look(ArrayImage(SCENE))
        found, _ = look(frame.image)
        assert_seen_as_square(frame, look, moved_px=float(found[0] + found[2] - box[0] - box[2]) / 2)
    assert frames[0].image.notes == (
        "its pixels are not square: stored as 320x960, seen as 640x960",
        "it is interlaced: one field of each picture is looked at",
        "it is turned by 270 degrees clockwise",
    )


async def test_jpegs_tell_their_pixels_shape(squeezed, tmp_path, look):
    with WAYS["mjpeg"](clip=squeezed, folder=tmp_path / "sent") as url:
        frames = await take(url, 2)
    for frame in frames:
        assert_seen_as_square(frame, look)


@pytest.mark.parametrize("way", [*WAYS, *PUBLISHED])
async def test_frames_follow_one_another(way, clip, tmp_path):
    frames = await sent(way, clip, tmp_path / "sent", 30)
    numbers = [index_of(frame) for frame in frames]
    steps = [(later - earlier) % 100 for earlier, later in itertools.pairwise(numbers)]
    # Of those that came while it was opened the newest was taken, and later where the machine was busy.
    assert max(steps) < 50, "in order"
    assert statistics.median(steps[5:]) <= 3
    assert {(frame.width, frame.height) for frame in frames} == {(320, 192)}


@pytest.mark.parametrize("way", ["ts over http", "hls", "file", *PUBLISHED])
async def test_h265(way, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 100, size=(320, 192), codec="libx265")
    frames = await sent(way, clip, tmp_path / "sent", 10)
    assert len({index_of(frame) for frame in frames}) == 10


PULLED = {
    "rtmp": ("rtmp://127.0.0.1:{port}/live/" + KEY, "flv", r"rtmp://127\.0\.0\.1:\d+/live/\*\*\*"),
    "flv over http": ("http://127.0.0.1:{port}/live.flv", "flv", r"http://127\.0\.0\.1:\d+/live\.flv"),
    "ts over http": ("http://127.0.0.1:{port}/live.ts", "mpegts", r"http://127\.0\.0\.1:\d+/live\.ts"),
}


@pytest.mark.parametrize("way", PULLED)
async def test_a_sender_that_falls_silent_stalls(way, clip):
    url, form, shown = PULLED[way]
    with listening(clip, url, form) as (opened, process):
        camera = settings(opened, read_timeout_s=1)
        async with asyncio.timeout(10), open_source("door", camera, opened) as source:
            await source.take()
            with stopped(process), pytest.raises(StreamStalled, match=f"{shown} sent no video for 1 s") as stalled:
                await drain(source)
    assert KEY not in str(stalled.value)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_stall_is_told_at_its_limit_and_not_at_twice_that(transport, clip):
    """GStreamer's server begins with a burst, so that frames are held; libav, when a read times out, hands out its
    parser's last packet first: it is no news.
    """
    with RtspServer(unused_port(), {"door": clip}) as server:
        url = server.url("door")
        camera = settings(url, read_timeout_s=4, transport=transport)
        async with asyncio.timeout(60), open_source("door", camera, url) as source:
            for _ in range(10):
                await source.take()
            with stopped(server.process), pytest.raises(StreamStalled, match="sent no video for 4 s"):
                async with asyncio.timeout(20):
                    await drain(source)
        while camera_threads():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", PULLED)
async def test_a_sender_that_is_killed_is_lost(way, clip):
    url, form, shown = PULLED[way]
    with listening(clip, url, form) as (opened, process):
        async with asyncio.timeout(10), open_source("door", settings(opened), opened) as source:
            await source.take()
            process.kill()
            with pytest.raises(StreamLost, match=shown) as lost:
                await drain(source)
    assert KEY not in str(lost.value)


@pytest.mark.parametrize("scheme", ["rtmp", "rtmps", "rtsps"])
async def test_a_server_that_accepts_and_says_nothing_is_unreachable(scheme):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"{scheme}://127.0.0.1:{deaf.getsockname()[1]}/live/{KEY}"
        async with asyncio.timeout(30):
            with pytest.raises(CameraUnreachable, match="didn't answer in time; check that it is on"):
                await take(url, 1, open_timeout_s=0.5)


@pytest.mark.parametrize("scheme", ["rtmp", "rtmps", "rtsps"])
async def test_a_refused_connection(scheme):
    with pytest.raises(CameraUnreachable, match="can't be reached") as refused:
        await take(f"{scheme}://127.0.0.1:{unused_port()}/live/{KEY}", 1)
    assert scheme == "rtsps" or KEY not in str(refused.value)


async def test_a_host_that_nobody_knows():
    with pytest.raises(CameraUnreachable, match=r"there is no host camera\.invalid; check its name"):
        await take(f"rtmp://camera.invalid/live/{KEY}", 1)


async def test_the_key_of_a_stream_shows_nowhere(clip, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with listening(clip, "rtmp://127.0.0.1:{port}/live/" + KEY, "flv") as (url, _):
        source = open_source("door", settings(url), url)
        async with asyncio.timeout(10), source:
            await source.take()
            seen = [repr(source), repr(source.info), repr(source.__dict__), *camera_threads()]
        report = (await probe_refused(url)).value
    seen += [str(report), repr(report.__context__), repr(report.__cause__), caplog.text, *capfd.readouterr()]
    assert KEY not in "\n".join(seen)


async def probe_refused(url: str) -> pytest.ExceptionInfo[CameraUnreachable]:
    """ffmpeg's server had its one client."""
    with pytest.raises(CameraUnreachable) as refused:
        await probe(url, settings(url))
    return refused


@pytest.mark.parametrize("secret", ["", "hunter2hunter2"])
async def test_srt_says_what_to_use_instead(secret, clip):
    """PyAV's wheels have no SRT; where a libav has it, this is to be tried: docs/cameras.md."""
    with (
        srt(clip, passphrase=secret) as url,
        pytest.raises(CameraProtocolMissing, match="built without SRT") as refused,
    ):
        await take(url, 1)
    assert "hunter2" not in str(refused.value)
    assert "publish://" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("secret", ["hunter2hunter2"])
async def test_srt_with_a_passphrase_is_handed_on(secret, clip, tmp_path):

    with srt_handed_on(clip=clip, folder=tmp_path / "sent", passphrase=secret) as url:
        assert len(await take(url, 3)) == 3


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    """A certificate that its owner signed."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "camera")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_rtsps_takes_a_camera_s_own_certificate(transport, clip, files, tmp_path):
    """Whatever transport is asked for, the pictures come over TLS, too."""
    both = tmp_path / "both.pem"
    both.write_bytes(files.cert.read_bytes() + files.key.read_bytes())
    with RtspServer(unused_port(), {"door": clip}, certificate=both, login=("ada", "hunter2/@:x")) as server:
        url = server.url("door")
        assert url.startswith("rtsps://")
        async with asyncio.timeout(20), open_source("door", settings(url, transport=transport), url) as source:
            assert source.info.transport == "tcp"
            assert (await source.take()).width == 320
            server.kill()
            with pytest.raises(StreamLost):
                await drain(source)


@asynccontextmanager
async def behind_tls(port: int, files: Files) -> AsyncIterator[int]:
    """A port that speaks TLS, before one that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def accept(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(client, to_server), name="to the server")
            group.create_task(copy(server, to_client), name="to the client")

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_rtmps_takes_a_server_s_own_certificate(clip, files):
    with listening(clip, "rtmp://127.0.0.1:{port}/live/" + KEY, "flv") as (url, _):
        port = int(url.rpartition(":")[2].partition("/")[0])
        async with behind_tls(port, files) as port:
            assert len(await take(f"rtmps://127.0.0.1:{port}/live/{KEY}", 3)) == 3


async def test_rtmp_with_sound_and_sound_alone(clip, tmp_path):
    """Only what can be seen matters: sound delays nothing, and is no video."""
    sound = tmp_path / "sound.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "lavfi", "-i", "sine", "-shortest"]
    subprocess.run([*command, "-c:v", "copy", "-c:a", "aac", str(sound)], check=True, timeout=30)
    url = "rtmp://127.0.0.1:{port}/live/key"
    with listening(sound, url, "flv", "-c", "copy") as (opened, _):
        assert len(await take(opened, 3)) == 3

    with listening(sound, url, "flv", "-c", "copy", "-vn") as (opened, _), pytest.raises(StreamHasNoVideo):
        await take(opened, 1)


async def test_a_device_that_is_not_there():
    """No test has a camera by USB: what is known of V4L2 is its address and this."""
    for url in ("/dev/video97", "usb:97", "v4l2:/dev/video97"):
        with pytest.raises(CameraNotFound, match="is not there"):
            await take(url, 1)
