"""Scenes as cameras send them: encoded in every kind, pulled by the product's own source over RTSP."""

import asyncio
import time

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from streamer.bench.idle.encode import ENCODINGS, Encoding, encoded
from streamer.bench.idle.rotated import rotated
from streamer.bench.idle.scene import empty
from streamer.bench.idle.sender import SentCamera, sending
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings

SCENE = empty((320, 180), 10, 5.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return encoded(SCENE, None, ENCODINGS, tmp_path_factory.mktemp("clips"))


def packets_of(clip):
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        return [(packet.is_keyframe, packet.size) for packet in container.demux(video) if packet.size]


@pytest.mark.parametrize("name", ENCODINGS)
def test_each_kind_is_what_it_is_called(clips, name):
    encoding, packets = ENCODINGS[name], packets_of(clips[name])
    with av.open(str(clips[name])) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        assert video.codec_context.name == {"h264": "h264", "h265": "hevc"}[encoding.codec]
    assert len(frames) == len(packets) == SCENE.frames
    kinds = [PictureType(frame.pict_type).name for frame in frames]
    assert ("B" in kinds) == bool(encoding.b_frames)
    intra = [number for number, kind in enumerate(kinds) if kind == "I"]
    every = 1 if encoding.intra_refresh else len(range(0, SCENE.frames, round(encoding.keyframe_s * SCENE.fps)))
    assert len(intra) == every
    kbps = sum(size for _, size in packets) * 8 / SCENE.seconds / 1000
    usual = encoding.bits_per_s(SCENE) / 1000
    assert (kbps > 0.7 * usual) == (encoding.rate == "cbr"), "CBR is filled up, VBR is not"


def test_what_is_there_is_not_made_again(clips):
    file = clips["h264-vbr-1s"]
    made_at = file.stat().st_mtime_ns
    assert encoded(SCENE, None, {"h264-vbr-1s": Encoding()}, file.parent) == {"h264-vbr-1s": file}
    assert file.stat().st_mtime_ns == made_at
    assert list(file.parent.glob("*.part")) == []


def test_a_clip_that_begins_elsewhere_has_the_same_pictures(clips):
    def lumas(file):
        with av.open(str(file)) as container:
            return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]

    first, then = lumas(clips["h264-vbr-1s"]), lumas(rotated(clips["h264-vbr-1s"], 3.2))
    assert len(then) == len(first)
    assert all(np.array_equal(*pair) for pair in zip(first[30:] + first[:30], then, strict=True))


@pytest.mark.live
async def test_every_kind_is_pulled_as_a_camera_is(clips, tmp_path):
    cameras = {name: SentCamera(clip, 2.5) for name, clip in clips.items()}

    async def pictures(url, count=4):
        settings = CameraSettings(url=url, fps=10)
        async with open_source("cam", settings, url) as source:
            return [await source.take() for _ in range(count)]

    async with asyncio.timeout(60), sending(cameras, tmp_path) as sender:
        found = await asyncio.gather(*(pictures(sender.url(name)) for name in cameras))
        for name, frames in zip(cameras, found, strict=True):
            assert {(frame.image.width, frame.image.height) for frame in frames} == {(320, 180)}
            (played,) = sender.played[name]
            assert played.from_s <= 2.5
            assert played.lap_s == SCENE.seconds
            assert time.time() - 60 < played.began_at < time.time()
        assert sender.played["h264-vbr-1s"][0].from_s == 2.0
        assert sender.played["h264-vbr-10s"][0].from_s == 0.0
