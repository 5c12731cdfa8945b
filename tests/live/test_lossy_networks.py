"""ffmpeg over UDP through a relay that loses and swaps its packets, into the real RTSP server and the real decoder."""

import subprocess
from pathlib import Path

import pytest

from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.settings import CameraSettings
from tests.live.lossy_relay import lossy_relay
from tests.live.publish_server import PASSWORD, SETTINGS, served
from tests.live.publishers import by_ffmpeg
from tests.live.service import until
from tests.streamer.ingest.rtp.test_ffmpeg_packets import lumas_of

pytestmark = [pytest.mark.live]

FRAMES, KEYFRAME_EVERY = 250, 10


@pytest.fixture(scope="module", params=["h264", "h265"])
def clip(request, tmp_path_factory) -> Path:
    """Few packets a picture (of H.265 some whole slices), no B-frames; no two pictures are the same."""
    path = tmp_path_factory.mktemp("clip") / f"{request.param}.mp4"
    encoder = {"h264": ["libx264"], "h265": ["libx265", "-x265-params", "log-level=none:bframes=0:ctu=16:slices=4"]}[
        request.param
    ]
    source = ["-f", "lavfi", "-i", f"testsrc2=s=320x240:r=25:d={FRAMES / 25:g}", "-c:v", *encoder, "-bf", "0"]
    more = ["-preset", "ultrafast", "-g", str(KEYFRAME_EVERY), "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *source, *more], check=True, timeout=60)
    return path


@pytest.mark.parametrize(("loss", "swaps"), [(0.005, 0.05), (0.05, 0.0)])
async def test_what_is_shown_is_right_and_it_is_back_at_the_first_keyframe(clip, tmp_path, shown, loss, swaps):
    numbers = {picture.tobytes(): number for number, picture in enumerate(lumas_of(clip))}
    assert len(numbers) == FRAMES
    camera = CameraSettings.model_validate({"url": "publish://", **SETTINGS})
    point = PublishPoint("cam", camera)
    async with served(point) as port, lossy_relay(port) as relay:
        url = f"rtsp://cam:{PASSWORD}@127.0.0.1:{relay.port}/cam"
        with by_ffmpeg(clip, url, tmp_path / "publisher.log", transport="udp"):
            async with PublishedSource(point, camera) as source:
                await until(lambda: len(shown) >= 20)
                assert [numbers.get(one.tobytes()) for one in shown[:20]] == list(range(20)), "nothing is lost yet"
                relay.loss, relay.swaps = loss, swaps
                before, began = len(shown), relay.pictures
                if loss > 0.01:
                    await until(lambda: source.trouble == "pictures_damaged", 60)
                await until(lambda: relay.pictures >= began + 100 and relay.lost >= 3)
                share = (len(shown) - before) / (relay.pictures - began)
                assert bool(relay.overtaken) == bool(swaps)
                if loss < 0.01:
                    assert source.trouble is None, "most of them are shown"
                    assert share > 0.5
                assert share < 1.0
                relay.loss = relay.swaps = 0.0
                keyframe = -(-relay.pictures // KEYFRAME_EVERY) * KEYFRAME_EVERY  # the first one that is whole for sure
                wanted = [number % FRAMES for number in range(keyframe, keyframe + 20)]
                before = len(shown)
                await until(lambda: wanted[-1] in [numbers.get(one.tobytes()) for one in shown[before:]])
                back = [numbers.get(one.tobytes()) for one in shown[before:]]
                first = back.index(wanted[0])
                assert back[first : first + 20] == wanted, "all of them, from the keyframe on"
                await until(lambda: source.trouble is None, 60)
    assert [number for number, one in enumerate(shown) if one.tobytes() not in numbers] == []
