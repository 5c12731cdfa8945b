"""Publishers with wrong timestamps, or joined in mid-stream: by hand into the real RTSP server and decoder."""

import asyncio
import time
from collections.abc import Callable

import pytest

from streamer.errors import StreamLost
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.settings import CameraSettings
from tests.live.publish_server import PASSWORD, SETTINGS, served
from tests.live.service import until
from tests.streamer.ingest.clips import drain
from tests.streamer.ingest.rtp.packetiser import FPS, TICKS, Clip, make_clip, packetise
from tests.streamer.ingest.rtsp import publisher as by_hand

pytestmark = [pytest.mark.live]

FRAMES, KEYFRAME_EVERY = 50, 25
HOUR = 3600 * 90_000


@pytest.fixture(scope="module", params=["h264"])
def clip(request) -> Clip:
    return make_clip(request.param, FRAMES, **options_of(request.param))


def options_of(codec: str, b_frames: int = 0) -> dict[str, str]:
    if codec == "hevc":
        return {"x265-params": f"log-level=none:keyint={KEYFRAME_EVERY}:min-keyint={KEYFRAME_EVERY}:bframes={b_frames}"}
    return {"g": str(KEYFRAME_EVERY), "bf": str(b_frames), "sc_threshold": "0"}


async def published(clip: Clip, shown: list, stamp: Callable[[int], int], *, first: int = 0, count: int) -> list[int]:
    """What comes of pictures `first` and after, the clip again and again; stamp(n): what picture n's pts becomes."""
    point = PublishPoint("cam", camera := CameraSettings.model_validate({"url": "publish://", **SETTINGS}))
    length = len(list(packetise(clip)))
    async with served(point) as port, asyncio.timeout(60):
        publisher = await by_hand.Publisher.connect(port, "cam", ("cam", PASSWORD))
        encoding = {"h264": "H264", "hevc": "H265"}[clip.codec]
        await publisher.publish(sdp=by_hand.SDP.replace("H264", encoding).replace("packetization-mode=1", "x=1"))
        async with PublishedSource(point, camera) as source:
            began_s, number = time.monotonic(), -1
            for lap in range((first + count) // FRAMES + 1):
                before = None
                for packet, at in packetise(clip, sequence=lap * length, timestamp=lap * FRAMES * TICKS):
                    number, before = number + (at != before), at
                    if not first <= number < first + count:
                        continue
                    await asyncio.sleep(max(0.0, began_s + (number - first) / FPS - time.monotonic()))
                    pts = stamp(int.from_bytes(packet[4:8]) // TICKS) & 0xFFFFFFFF
                    publisher.send(packet[:4] + pts.to_bytes(4) + packet[8:])
            publisher.close()
            await until(lambda: not point.is_taken)
            with pytest.raises(StreamLost, match="its publisher is gone"):
                await drain(source)
    await by_hand.close_all()
    found = [clip.index_of(one) for one in shown]
    assert None not in found, "a wrong picture"
    return [number for number in found if number is not None]


STAMPS: dict[str, Callable[[int], int]] = {
    "wrap": lambda number: 2**32 - 20 * TICKS + number * TICKS,
    "begin anew": lambda number: number % 40 * TICKS,
    "go back by two seconds": lambda number: (number if number < 40 else number - 50) * TICKS + HOUR,
    "are all the same": lambda number: 5,
    "are the same in pairs": lambda number: number // 2 * 2 * TICKS,
    "drift, 2 % fast": lambda number: number * TICKS * 102 // 100,
    "drift, 2 % slow": lambda number: number * TICKS * 98 // 100,
    "jump by an hour": lambda number: number * TICKS + (HOUR if number >= 40 else 0),
    "jump back by an hour": lambda number: number * TICKS + (0 if number >= 40 else HOUR),
}


# How many may be left out: those whose time goes by their arrival, where two arrive at once.
MAY_MISS = {"begin anew": 2, "go back by two seconds": 2, "jump by an hour": 1, "jump back by an hour": 1}
MAY_MISS |= {"are all the same": 55, "are the same in pairs": 55}


@pytest.mark.parametrize("how", STAMPS)
async def test_whatever_the_timestamps_the_right_pictures_are_shown_in_order(clip, shown, how):
    count = 200 if "drift" in how else 110
    found = iter(await published(clip, shown, STAMPS[how], count=count))
    missing, one = 0, next(found)
    for number in range(count):
        if one == number % FRAMES:
            one = next(found, -1)
        else:
            missing += 1
    assert (one, next(found, -1)) == (-1, -1), "one that is out of order, or twice there"
    assert missing <= MAY_MISS.get(how, 0)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("how", ["wrap", "jump by an hour"])
async def test_with_b_frames_whose_timestamps_go_back_all_the_time(shown, codec, how):
    clip = make_clip(codec, FRAMES, **options_of(codec, 2))
    assert [pts for pts, _ in clip.pictures] != sorted(pts for pts, _ in clip.pictures)
    found = await published(clip, shown, STAMPS[how], count=100)
    assert sorted(found[:40]) == found[:40]
    assert len(found) >= 100 - MAY_MISS.get(how, 0)


@pytest.mark.parametrize("first", [1, 7, 24])
async def test_joined_between_keyframes_it_begins_with_the_next(clip, shown, first):
    found = await published(clip, shown, lambda number: number * TICKS, first=first, count=100 - first)
    assert found == [number % FRAMES for number in range(KEYFRAME_EVERY, 100)]
