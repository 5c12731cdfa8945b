"""What real publishers do wrong, over the real RTSP server and the real decoder; the faces are scripted."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.settings import CameraSettings
from tests.live.publish_server import PASSWORD, SETTINGS, served
from tests.live.publishers import by_ffmpeg
from tests.streamer.ingest.rtp.packetiser import FPS, TICKS, Clip, lossy, make_clip, packetise
from tests.streamer.ingest.rtsp import publisher as by_hand
from tests.streamer.pipeline.watched_camera import Watched, running

pytestmark = [pytest.mark.live]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """Ten seconds each."""
    folder = tmp_path_factory.mktemp("clips")
    made = {}
    for name, size, codec in (
        ("h264", "320x240", "libx264"),
        ("h265", "480x270", "libx265"),
        ("wide", "640x360", "libx264"),
    ):
        made[name] = folder / f"{name}.mp4"
        source = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=10"]
        more = ["-c:v", codec, "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
        more += ["-x265-params", "log-level=none"] if codec == "libx265" else []
        subprocess.run([*source, *more, str(made[name])], check=True, timeout=60)
    return made


def processed(seen: Watched) -> float:
    return seen.counted("whosthere_frames_total", outcome="processed")


async def more_frames(seen: Watched, count: int = 10) -> None:
    """Within the time in which they are to flow again."""
    until = processed(seen) + count
    await seen.until(lambda: processed(seen) >= until, within_s=10.0)


async def test_killed_and_started_again_with_another_codec_or_size_it_is_seen_again(clips, tmp_path):
    async with running(**SETTINGS) as seen, served(seen.point) as port:
        url = f"rtsp://cam:{PASSWORD}@127.0.0.1:{port}/cam"
        for number, name in enumerate(("h264", "h265", "wide", "h264"), 1):
            with by_ffmpeg(clips[name], url, tmp_path / f"{number}.log") as publisher:
                await more_frames(seen)
                assert seen.camera.status.state == "online"
                publisher.send(signal.SIGKILL)
                await seen.until(seen.is_("offline", "no_publisher"), within_s=60.0)
            assert seen.events() == [("new", None), ("end", "camera_lost")] * number
        assert seen.counted("whosthere_camera_errors_total", code="stream_lost") == 4
        assert seen.counted("whosthere_camera_errors_total", code="stream_invalid") == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_stopped_for_a_while_it_is_stalled_and_then_goes_on(clips, tmp_path, transport):
    async with running(**SETTINGS) as seen, served(seen.point) as port:
        url = f"rtsp://cam:{PASSWORD}@127.0.0.1:{port}/cam"
        with by_ffmpeg(clips["h264"], url, tmp_path / "publisher.log", transport=transport) as publisher:
            await more_frames(seen)
            publisher.send(signal.SIGSTOP)
            await seen.until(seen.is_("stalled", "stream_stalled"), within_s=60.0)
            publisher.send(signal.SIGCONT)
            await more_frames(seen)
            assert seen.camera.status.state == "online"
        await seen.until(seen.is_("offline", "no_publisher"), within_s=60.0)
        assert [event for event, _ in seen.events()] in (["new", "end"], ["new", "end"] * 2)


async def test_stopped_for_longer_it_is_lost_and_another_may_come(clips, tmp_path):
    async with running(**SETTINGS, read_timeout_s=1.5) as seen, served(seen.point) as port:
        url = f"rtsp://cam:{PASSWORD}@127.0.0.1:{port}/cam"
        with by_ffmpeg(clips["h264"], url, tmp_path / "first.log") as first:
            await more_frames(seen)
            first.send(signal.SIGSTOP)
            await seen.until(seen.is_("offline", "no_publisher"), within_s=60.0)
            assert seen.events()[-1] == ("end", "camera_lost")
            with by_ffmpeg(clips["wide"], url, tmp_path / "second.log"):
                await more_frames(seen)
                first.send(signal.SIGCONT)
                assert await asyncio.to_thread(first.code) != 0
                await more_frames(seen)


async def play(clip: Clip, send: Callable[[bytes], object], rounds: int, *, loss: float, start: int) -> None:
    """The clip again and again, at its pace, numbers and timestamps going on from round `start`."""
    length = len(list(packetise(clip)))
    for number in range(start, start + rounds):
        began_s = time.monotonic()
        packets = packetise(clip, sequence=number * length, timestamp=number * len(clip.pictures) * TICKS)
        for packet, at in lossy(packets, loss=loss, seed=number):
            await asyncio.sleep(max(0.0, began_s + at.monotonic_s - time.monotonic()))
            send(packet)
        await asyncio.sleep(max(0.0, began_s + len(clip.pictures) / FPS - time.monotonic()))


async def test_over_a_lossy_network_no_wrong_picture_comes_and_the_camera_says_what_it_is(tmp_path):
    clip = make_clip("h264", 25, bf="0", g="25")
    settings = CameraSettings.model_validate({"url": "publish://", **SETTINGS})
    point = PublishPoint("cam", settings)
    wrong, right = [], []
    async with served(point) as port, asyncio.timeout(120):
        publisher = await by_hand.Publisher.connect(port, "cam", ("cam", PASSWORD))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            mine = sender.getsockname()[1]
            answer = await publisher.publish(f"RTP/AVP/UDP;unicast;client_port={mine}-{mine + 1};mode=record")
            ports = dict(part.partition("=")[::2] for part in answer.one("transport").split(";"))["server_port"]
            sender.connect(("127.0.0.1", int(ports.partition("-")[0])))
            async with PublishedSource(point, settings) as source:

                async def look() -> None:
                    while True:
                        frame = await source.take()
                        (wrong if clip.index_of(frame.image.luma()) is None else right).append(frame.number)

                looking = asyncio.create_task(look())
                await play(clip, sender.send, 2, loss=0.0, start=0)
                assert source.trouble is None
                assert len(right) > 30
                rounds, start = 0, 2
                while source.trouble != "pictures_damaged":
                    await play(clip, sender.send, 1, loss=0.05, start=start + rounds)
                    rounds += 1
                assert source.silent_s < 1.0, "it is not silent, its pictures are of no use"
                before = len(right)
                await play(clip, sender.send, 1, loss=0.0, start=start + rounds)
                assert len(right) - before >= 20, "back at the first whole keyframe"
                while source.trouble is not None:
                    rounds += 1
                    await play(clip, sender.send, 1, loss=0.0, start=start + rounds)
                looking.cancel()
                await asyncio.wait([looking])
        await by_hand.close_all()
    assert wrong == []
