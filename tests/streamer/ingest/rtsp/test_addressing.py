"""URLs and Transport headers, as publishers make them and as nobody should."""

import pytest

from streamer.ingest.rtsp.addressing import Asked, path_of, track_of, transport_of
from streamer.ingest.rtsp.messages import Refused


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("rtsp://h:8554/door", ("door",)),
        ("rtsp://h/door/", ("door",)),
        ("rtsp://h/door?token=x/streamid=0", ("door",)),
        ("rtsp://h/door//streamid=0", ("door", "streamid=0")),
        ("rtsp://h/a%2Fb/c%20d", ("a/b", "c d")),
        ("/door", ("door",)),
        ("rtsp://h", ()),
        ("*", ("*",)),
    ],
)
def test_the_path(url: str, path: tuple[str, ...]):
    assert path_of(url) == path


def test_a_url_that_is_none():
    with pytest.raises(Refused, match="400"):
        path_of("rtsp://[door")


@pytest.mark.parametrize(
    ("url", "controls", "track"),
    [
        ("rtsp://h/door/streamid=1", ["streamid=0", "streamid=1"], 1),
        ("rtsp://h/door?token=x/streamid=1", ["streamid=0", "streamid=1"], 1),
        ("rtsp://h/door/stream=1?token=x", ["stream=0", "stream=1"], 1),
        ("rtsp://h/door//streamid=0", ["streamid=0", "streamid=1"], 0),
        ("rtsp://h/door/track/1", ["1", "track/1"], 1),  # the longest
        ("rtsp://h/door/x", ["rtsp://h/door/y", "rtsp://h/door/x"], 1),
        ("rtsp://h/door", [""], 0),
        ("rtsp://h/door", ["*"], 0),
    ],
)
def test_the_track(url: str, controls: list[str], track: int):
    assert track_of(url, controls) == track


@pytest.mark.parametrize("controls", [["streamid=0"], ["streamid=10", "streamid=11"], ["", ""], []])
def test_no_such_track(controls: list[str]):
    with pytest.raises(Refused, match="404"):
        track_of("rtsp://h/door/streamid=1", controls)


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record", Asked(is_udp=False, channels=(0, 1))),
        ("RTP/AVP/TCP;unicast;interleaved=2-3;mode=RECORD", Asked(is_udp=False, channels=(2, 3))),
        ('rtp/avp/tcp; interleaved=4 ;mode="record"', Asked(is_udp=False, channels=(4, 5))),
        ("RTP/AVP/TCP;unicast", Asked(is_udp=False)),
        ("RTP/AVP/UDP;unicast;client_port=25764-25765;mode=record", Asked(is_udp=True, ports=(25764, 25765))),
        ("RTP/AVP;client_port=5000;mode=receive", Asked(is_udp=True, ports=(5000, 5001))),
        ("RTP/SAVP;unicast;client_port=1-2,RTP/AVP/TCP;interleaved=0-1", Asked(is_udp=False, channels=(0, 1))),
    ],
)
def test_the_transport(header: str, asked: Asked):
    assert transport_of(header) == asked


@pytest.mark.parametrize(
    "header",
    [
        "",
        ";;,",
        "RTP/AVP",
        "RTP/AVP;multicast;client_port=5000-5001",
        "RTP/AVP;unicast;client_port=5000-5001;mode=PLAY",
        "RTP/AVP/TCP;interleaved=0-256",
        "RTP/AVP/TCP;interleaved=1-1",
        "RTP/AVP/TCP;interleaved=x",
        "RTP/AVP/TCP;interleaved=²-³",
        "RTP/AVP/TCP;interleaved=-1",
        "RTP/AVP;client_port=0-1",
        "RTP/AVP;client_port=65535",
        "RTP/AVP;client_port=99999999999999999999-5",
        "RTP/AVP;client_port=5-99999999999999999999",
    ],
)
def test_no_transport_that_is_known(header: str):
    with pytest.raises(Refused, match="461"):
        transport_of(header)
