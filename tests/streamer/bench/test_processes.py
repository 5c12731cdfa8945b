"""The benchmark's helpers are real servers in processes of their own."""

import asyncio

import av
import pytest

from streamer.bench.clips import repeated, with_gap
from streamer.bench.processes import broker_process, cutting_server
from streamer.errors import StreamLost
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(25):
            container.mux(stream.encode(av.VideoFrame(320, 240, "yuv420p")))
        container.mux(stream.encode(None))
    return path


async def frames_until_lost(url: str) -> int:
    frames = 0
    async with open_source("soak", CameraSettings(url=url, fps=10), url) as source:
        try:
            while True:
                await source.take()
                frames += 1
        except StreamLost:
            return frames


async def test_the_cutting_server_streams_and_hangs_up(clip):
    async with asyncio.timeout(60), cutting_server(clip, 1.5) as url:
        assert await frames_until_lost(url) > 0
        assert await frames_until_lost(url) > 0


async def test_the_broker_process_listens(clip):
    async with asyncio.timeout(60), broker_process() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()


def test_a_clip_is_repeated_frame_by_frame(clip, tmp_path):
    with av.open(str(repeated(clip, tmp_path / "laps.mp4", 3))) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    assert len(times) == 75
    assert times == sorted(set(times))


def test_the_gap_is_black_and_large_clips_shrink(clip, tmp_path):
    out = with_gap(clip, tmp_path / "gap.mp4", gap_s=1.0, most_height=120)
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 50
    assert (frames[0].width, frames[0].height) == (160, 120)
    assert frames[-1].to_ndarray(format="gray").max() < 32
