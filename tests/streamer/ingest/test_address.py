"""How a URL is opened, and that nothing secret of it is ever shown."""

import pytest

from streamer.errors import CameraNotFound
from streamer.ingest.address import address, publishers_url, redacted_url
from streamer.settings import CameraSettings, RtspIngestSettings

SECRETS = ("hunter2", "ada")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://192.0.2.9/h264", "rtsp://192.0.2.9/h264"),
        ("rtsp://ada:hunter2@192.0.2.9:554/h264", "rtsp://***@192.0.2.9:554/h264"),
        ("rtsp://ada@192.0.2.9/h264", "rtsp://***@192.0.2.9/h264"),
        ("RTSPS://ada:hun%2Fter2@cam/x", "RTSPS://***@cam/x"),
        ("rtsp://ada:p@hunter2@cam/x", "rtsp://***@cam/x"),
        ("rtsp://ada:hunter2/x@cam/y", "rtsp://***@cam/y"),
        ("rtsp://ada:hun?ter2@cam/y", "rtsp://***"),
        ("http://cam/video?user=ada&pwd=hunter2", "http://cam/video?user=***&pwd=***"),
        ("http://cam/video?channel=1&subtype=0&k=hunter2", "http://cam/video?channel=1&subtype=0&k=***"),
        ("http://cam/video?hunter2", "http://cam/video?***"),
        ("rtsp://cam/user=ada_password=hunter2_channel=1.sdp", "rtsp://cam/user=***"),
        ("rtsp://cam/user=ada&password=hunter2&stream=0.sdp", "rtsp://cam/user=***&password=***&stream=0.sdp"),
        ("rtmp://cam/live/hunter2", "rtmp://cam/live/***"),
        ("rtmps://cam:443/app/instance/hunter2", "rtmps://cam:443/app/***"),
        ("rtmp://cam/hunter2", "rtmp://cam/***"),
        ("rtmp://cam/hunter2/", "rtmp://cam/***"),
        ("rtmp://cam", "rtmp://cam"),
        ("rtmp://ada:hunter2@cam/live/hunter2", "rtmp://***@cam/live/***"),
        ("rtmp://ada:hun/ter2@cam/live/x", "rtmp://***"),
        ("rtmp://cam/live/hunter@2", "rtmp://***"),
        ("rtmp://cam/live/x playpath=hunter2 pageUrl=http://x/hunter2", "rtmp://cam/live/***"),
        ("rtmp://cam/live playpath=a/hunter2", "rtmp://cam/***"),
        (
            "RTMP://cam/bcs/channel0_main.bcs?channel=0&stream=0&user=ada&password=hunter2",
            "RTMP://cam/bcs/***?channel=0&stream=0&user=***&password=***",
        ),
        (
            "srt://cam:9000?mode=caller&latency=200000&passphrase=hunter2&pbkeylen=16",
            "srt://cam:9000?mode=caller&latency=200000&passphrase=***&pbkeylen=***",
        ),
        ("srt://cam:9000?streamid=#!::r=live/hunter2,m=request", "srt://cam:9000?streamid=***"),
        ("srt://cam:9000?streamid=read:door:ada:hunter2", "srt://cam:9000?streamid=***"),
        (
            "http://cam/flv?port=1935&app=bcs&user=ada&password=hunter2",
            "http://cam/flv?port=***&app=***&user=***&password=***",
        ),
        ("clips/hall.mp4", "clips/hall.mp4"),
        ("ada:hunter2@192.0.2.9/h264", "***@192.0.2.9/h264"),
        ("rtsp:/ada:hunter2@192.0.2.9/h264", "***@192.0.2.9/h264"),
        ("/srv/ada:hun/ter2@192.0.2.9/h264", "/srv/***@192.0.2.9/h264"),
        ("/dev/video0", "/dev/video0"),
        ("clips/two\nlines.mp4", "clips/two?lines.mp4"),
    ],
)
def test_redaction(url, shown):
    assert redacted_url(url) == shown


@pytest.mark.parametrize(
    ("url", "kind", "target", "form"),
    [
        ("rtsp://ada:hunter2@cam/x", "rtsp", "rtsp://ada:hunter2@cam/x", None),
        ("https://ada:hunter2@cam/x.m3u8", "http", "https://ada:hunter2@cam/x.m3u8", None),
        ("rtmp://cam/live/hunter2", "rtmp", "rtmp://cam/live/hunter2", None),
        ("RTMPS://ada:hunter2@cam/live/x", "rtmp", "RTMPS://ada:hunter2@cam/live/x", None),
        ("srt://cam:9000?passphrase=hunter2", "srt", "srt://cam:9000?passphrase=hunter2", "mpegts"),
        ("clips/a.mp4", "file", "clips/a.mp4", None),
        ("/clips/12:30.mp4", "file", "/clips/12:30.mp4", None),
        ("file:///clips/a%20b.mp4", "file", "/clips/a b.mp4", None),
        ("/dev/video3", "usb", "/dev/video3", "v4l2"),
        ("usb:2", "usb", "/dev/video2", "v4l2"),
        ("v4l2:/dev/video1", "usb", "/dev/video1", "v4l2"),
    ],
)
def test_kinds(url, kind, target, form):
    found = address("door", CameraSettings(url=url), url)
    assert (found.kind, found.target, found.format) == (kind, target, form)
    assert found.who.startswith("camera door: ")
    assert not any(secret in repr(found) + found.who for secret in SECRETS)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_transport(transport):
    found = address("door", CameraSettings(url="rtsp://cam/x", transport=transport), "rtsp://cam/x")
    assert (found.transport, found.options["rtsp_transport"]) == (transport, transport)


@pytest.mark.parametrize("url", ["rtsps://cam/x", "RTSPS://ada:hunter2@cam:322/x"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_over_tls_pictures_come_by_tcp(url, transport):
    found = address("door", CameraSettings(url=url, transport=transport), url)
    assert (found.transport, found.options["rtsp_transport"]) == ("tcp", "tcp")


def test_a_camera_that_pushes_is_opened_nowhere_else():
    with pytest.raises(CameraNotFound, match=r"camera door: it is published to \(publish://\)"):
        address("door", CameraSettings(url="publish://", password="secret"), "publish://")


@pytest.mark.parametrize(
    "url", ["a\0b.mp4", "rtsp://ada:hunter2@cam/x\r\nX: y", "usb:\0", "http://ca\nm/x", "\udcff.mp4"]
)
def test_what_is_in_no_address_is_refused_in_one_line(url):
    with pytest.raises(CameraNotFound, match=r"^camera door: .*\?.* has a control character") as refused:
        address("door", CameraSettings(url="x"), url)
    assert str(refused.value).isprintable()
    assert "hunter2" not in str(refused.value)


def test_unknown_scheme_is_refused_in_one_line():
    with pytest.raises(CameraNotFound, match=r"camera door: ftp://\*\*\*@cam/x has a scheme") as refused:
        address("door", CameraSettings(url="x"), "ftp://ada:hunter2@cam/x")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "rtsp://USER:PASSWORD@127.0.0.1:8554/door"),
        ("::1", "rtsp://USER:PASSWORD@[::1]:8554/door"),
        ("0.0.0.0", "rtsp://USER:PASSWORD@THIS_MACHINE:8554/door"),
        ("::", "rtsp://USER:PASSWORD@THIS_MACHINE:8554/door"),
    ],
)
def test_where_publishers_go(host: str, url: str):
    assert publishers_url(RtspIngestSettings(host=host), "door") == url
