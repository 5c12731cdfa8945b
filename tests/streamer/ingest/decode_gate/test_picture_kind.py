"""What a picture is to the others, of real streams by x264 and x265, with start codes and with lengths."""

import subprocess

import av
import pytest

from streamer.ingest.decode_gate.picture_kind import KindReader, PictureKind

ENTRY, REFERENCE, SPARE = PictureKind(is_entry=True), PictureKind(is_entry=False), PictureKind(False, False)
REFRESH = PictureKind(is_entry=False, is_refresh=True)

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-x264-params")
H265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")
COMMON = "keyint=10:min-keyint=10:scenecut=0"


def kinds(path) -> list[PictureKind]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        reader = KindReader(video.codec_context.name, video.codec_context.extradata or b"")
        packets = [packet for packet in container.demux(video) if packet.size]
        return [reader.read(memoryview(packet), is_keyframe=packet.is_keyframe) for packet in packets]


@pytest.fixture
def made(tmp_path):
    def make(form: str, *options: str):
        path = tmp_path / f"clip.{form}"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=160x96:rate=10:duration=4",
            *options,
        ]
        subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True, timeout=30)
        return kinds(path)

    return make


@pytest.mark.parametrize("form", ["mp4", "ts"])
@pytest.mark.parametrize("encoder", [(*H264, COMMON + ":bframes=0"), (*H265, COMMON + ":bframes=0:log-level=none")])
def test_an_entry_a_second_and_all_others_are_made_from(made, form, encoder):
    assert made(form, *encoder) == [ENTRY, *[REFERENCE] * 9] * 4


def test_b_frames_that_nothing_is_made_from(made):
    found = made("ts", *H264, COMMON + ":bframes=2:b-adapt=0:b-pyramid=none")
    assert {SPARE, REFERENCE, ENTRY} == set(found)
    assert 18 <= found.count(SPARE) <= 28
    found = made("ts", *H265, COMMON + ":bframes=2:b-adapt=0:b-pyramid=0:log-level=none")
    assert 18 <= found.count(SPARE) <= 28


@pytest.mark.parametrize(
    "encoder", [(*H264, COMMON + ":open-gop=1:bframes=2"), (*H265, COMMON + ":open-gop=1:log-level=none")]
)
def test_an_open_group_begins_where_decoding_may(made, encoder):
    assert made("mp4", *encoder).count(ENTRY) == 4


def test_an_intra_refresh_is_no_entry_although_it_is_flagged_as_a_keyframe(made):
    found = made("mp4", *H264, "keyint=10:intra-refresh=1:bframes=0")
    assert found[0] == ENTRY
    assert found.count(ENTRY) == 1
    assert found.count(REFRESH) >= 2
    assert made("mp4", *H265, "keyint=10:intra-refresh=1:bframes=0:log-level=none").count(ENTRY) == 1


def test_of_other_codecs_the_flag_counts(made):
    assert made("avi", "-c:v", "mjpeg") == [ENTRY] * 40
    assert made("avi", "-c:v", "mpeg4", "-g", "10").count(ENTRY) == 4


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\1", b"\0\0\1\x65", b"\x00" * 40, b"\0\0\1\x06\xff\xff\xff", b"\xff" * 3000]
)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("extradata", [b"", b"\x01", b"\x01" * 40])
def test_what_is_no_picture_is_no_entry(data, codec, extradata):
    assert KindReader(codec, extradata).read(data, is_keyframe=True).is_entry in (False, data.endswith(b"\x65"))
