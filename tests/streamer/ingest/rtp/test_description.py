"""SDPs of the publishers that people have, and of none."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import CameraError, StreamHasNoVideo, StreamInvalid, StreamUnsupported
from streamer.ingest.rtp.description import MOST_BYTES, START_CODE, tracks, video_track

SPS, PPS, VPS = b"\x67\x42\xc0\x1e\xda", b"\x68\xce\x3c\x80", b"\x40\x01\x0c"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


FFMPEG = f"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=No Name
c=IN IP4 127.0.0.1
t=0 0
a=tool:libavformat 59.27.100
m=audio 0 RTP/AVP 96
b=AS:69
a=rtpmap:96 MPEG4-GENERIC/44100/1
a=fmtp:96 profile-level-id=1;mode=AAC-hbr;config=1208
a=control:streamid=0
m=video 0 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=1; sprop-parameter-sets={b64(SPS)},{b64(PPS)}; profile-level-id=42C01E
a=control:streamid=1
"""
GSTREAMER = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=Session streamed with GStreamer
t=0 0
m=audio 0 RTP/AVP 8
c=IN IP4 0.0.0.0
a=control:stream=1
m=video 0 RTP/AVP 99
c=IN IP4 0.0.0.0
a=rtpmap:99 H265/90000
a=framerate:25
a=fmtp:99 sprop-vps={b64(VPS)};sprop-sps={b64(SPS)};sprop-pps={b64(PPS)};sprop-max-don-diff=0
a=control:stream=0
a=ts-refclk:local
"""


def annex_b(*units: bytes) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


@pytest.mark.parametrize(
    ("sdp", "codec", "payload_type", "control", "index", "sets"),
    [
        (FFMPEG, "h264", 97, "streamid=1", 1, (SPS, PPS)),
        (FFMPEG.replace("\n", "\r\n"), "h264", 97, "streamid=1", 1, (SPS, PPS)),
        (FFMPEG.replace("H264", "h264").replace("packetization-mode=1; ", ""), "h264", 97, "streamid=1", 1, (SPS, PPS)),
        (GSTREAMER, "hevc", 99, "stream=0", 1, (VPS, SPS, PPS)),
        (GSTREAMER.replace(f"sprop-sps={b64(SPS)};", ""), "hevc", 99, "stream=0", 1, (VPS, PPS)),
        ("v=0\nm=video 0 RTP/AVP 100 96\na=rtpmap:100 VP8/90000\na=rtpmap:96 H264/90000", "h264", 96, "", 0, ()),
    ],
)
def test_the_video_is_found_by_its_m_line(sdp, codec, payload_type, control, index, sets):
    track = video_track(sdp.encode())
    assert (track.codec, track.payload_type, track.control, track.index) == (codec, payload_type, control, index)
    assert (track.clock_rate, track.extradata) == (90_000, annex_b(*sets))


@pytest.mark.parametrize("damaged", ["%%%", "AAA", b64(b""), "ä"])
def test_parameter_sets_that_are_none_are_left_out(damaged):
    track = video_track(FFMPEG.replace(b64(SPS), damaged).encode())
    assert track.extradata == annex_b(PPS)


def test_every_track_is_told():
    audio, video = tracks(GSTREAMER.encode())
    assert (audio.kind, audio.control, audio.formats[0].payload_type) == ("audio", "stream=1", 8)
    assert (video.kind, video.control, video.formats[0].encoding) == ("video", "stream=0", "H265")


@pytest.mark.parametrize(
    ("sdp", "error", "says"),
    [
        ("", StreamInvalid, "no SDP"),
        ("GET / HTTP/1.1", StreamInvalid, "no SDP"),
        ("v=0\n" + "a=x\n" * MOST_BYTES, StreamInvalid, "at most"),
        ("v=0\n" + "m=video 0 RTP/AVP 96\n" * 17, StreamInvalid, "17 tracks"),
        ("v=0\n", StreamHasNoVideo, "no video track"),
        ("v=0\nm=audio 0 RTP/AVP 8", StreamHasNoVideo, "no video track"),
        ("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 VP9/90000", StreamUnsupported, "VP9"),
        ("v=0\nm=video 0 RTP/AVP 26", StreamUnsupported, "payload type 26"),
        ("v=0\nm=video", StreamUnsupported, "no format"),
        (FFMPEG.replace("packetization-mode=1", "packetization-mode=2"), StreamUnsupported, "interleaved"),
        (GSTREAMER.replace("don-diff=0", "don-diff=4"), StreamUnsupported, "interleaved"),
        (FFMPEG.replace("m=video 0 RTP/AVP", "m=video 0 RTP/SAVPF"), StreamUnsupported, "SRTP"),
    ],
)
def test_what_can_not_be_taken_is_refused_in_one_line(sdp, error, says):
    with pytest.raises(error) as refusal:
        video_track(sdp.encode())
    assert type(refusal.value) is error
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


LINES = [
    *FFMPEG.encode().splitlines(),
    *GSTREAMER.encode().splitlines(),
    b"m=",
    b"a=fmtp:",
    b"a=rtpmap:99 /",
    b"m=video",
]


@given(st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=40)), max_size=30))
def test_whatever_is_announced_there_is_a_track_or_a_coded_error(lines):
    with suppress(CameraError):
        assert 0 <= video_track(b"\n".join([b"v=0", *lines])).index < 16
