"""The encoder against libvpx's own decoder: sizes, keyframes, times, and pictures that look like those that went in."""

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from streamer.ingest.frame import VideoImage
from streamer.live_view.encoder import Vp8Encoder, fitted
from tests.streamer.ingest.test_frame import coloured


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1280, 720), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((720, 1280), (360, 640)),
        ((704, 576), (640, 524)),
        ((321, 241), (320, 240)),
        ((10_000, 50), (640, 16)),
        ((1, 1), (16, 16)),
    ],
)
def test_the_size_that_is_shown(size, shown):
    assert fitted(*size) == shown


def encoded(encoder, image, media_time, keyframe=False):
    (packet,) = encoder.encode(image, media_time, keyframe)
    return packet


def decoded(packets):
    decoder = av.CodecContext.create("libvpx", "r")
    return [frame for packet in packets for frame in decoder.decode(packet)]


def test_pictures_come_out_at_once_and_look_as_they_went_in():
    encoder = Vp8Encoder(10)
    image = VideoImage(coloured("yuv420p", 1280, 720))
    packets = [encoded(encoder, image, 9000 * number, number == 3) for number in range(6)]
    assert [packet.is_keyframe for packet in packets] == [True, False, False, True, False, False]
    assert [packet.pts for packet in packets] == [9000 * number for number in range(6)]
    frames = decoded(packets)
    assert len(frames) == 6
    want = image.scaled_rgb_planes(640, 360).transpose(1, 2, 0).astype(int)
    for frame in frames:
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - want).mean() < 8


@pytest.mark.parametrize("other", [(640, 480), (480, 640), (64, 64)])
def test_another_size_begins_with_a_keyframe(other):
    encoder = Vp8Encoder(10)
    packets = [
        encoded(encoder, VideoImage(coloured("yuv420p", *size)), 9000 * number)
        for number, size in enumerate([(1280, 720), (1280, 720), other, other])
    ]
    assert [packet.is_keyframe for packet in packets] == [True, False, True, False]
    assert (decoded(packets)[-1].width, decoded(packets)[-1].height) == fitted(*other)


def test_after_hours_without_a_picture_it_goes_on():
    encoder, image = Vp8Encoder(10), VideoImage(coloured("yuv420p", 320, 240))
    packets = [encoded(encoder, image, at) for at in (0, 9000, 9000 + 8 * 3600 * 90_000)]
    assert len(decoded(packets)) == 3
    assert max(packet.size for packet in packets) < 40_000


def test_after_a_fault_the_next_picture_is_a_keyframe():
    encoder, image = Vp8Encoder(10), VideoImage(coloured("yuv420p", 320, 240))
    encoded(encoder, image, 9000)
    with pytest.raises((InvalidDataError, av.FFmpegError, OverflowError)):
        encoded(encoder, image, 0)  # back in time, which no caller does
    assert encoded(encoder, image, 18000).is_keyframe
