"""What an answer asks for, in answers as aiortc makes them."""

import pytest

from streamer.ingest.webrtc.bitrate import video_codecs, with_start_bitrate

ASKED = "x-google-start-bitrate=2500"


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (["m=video 9 X 96", "a=rtpmap:96 VP8/90000"], [f"a=fmtp:96 {ASKED}"]),
        (["a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1"], [f"a=fmtp:96 packetization-mode=1;{ASKED}"]),
        (
            ["a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=rtpmap:9 H264/90000"],
            [f"a=fmtp:96 {ASKED}", "a=fmtp:97 apt=96", f"a=fmtp:9 {ASKED}"],
        ),
        (["m=audio 9 X 111", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10"], ["a=fmtp:111 minptime=10"]),
    ],
)
def test_every_video_codec_is_asked_to_begin_fast(answer, asks):
    amended = with_start_bitrate("\r\n".join([*answer, ""]))
    assert [line for line in amended.splitlines() if line.startswith("a=fmtp")] == asks
    assert [line for line in amended.splitlines() if "fmtp" not in line] == [
        line for line in answer if "fmtp" not in line
    ]
    assert amended.endswith("\r\n")


@pytest.mark.parametrize(
    ("answer", "codecs"),
    [
        ("a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=rtpmap:9 H264/90000\r\n", ["VP8", "H264"]),
        ("a=rtpmap:9 h264/90000\r\na=rtpmap:96 VP8/90000\r\n", ["H264", "VP8"]),
        ("a=rtpmap:111 opus/48000/2\r\n", []),
    ],
)
def test_which_codec_is_preferred(answer, codecs):
    assert video_codecs(answer) == codecs
