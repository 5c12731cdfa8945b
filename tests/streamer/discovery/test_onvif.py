"""A device is asked for its streams: logins, clocks, addresses of other networks, and everything that it may answer."""

import gzip
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from streamer.discovery import onvif
from streamer.discovery.device import DeviceLogin, NotAnswered
from streamer.discovery.onvif import streams_of
from tests.http_servers import Quiet, Start, http_servers
from tests.live.login_gate import PASSWORD, USER
from tests.streamer.discovery.onvif_device import REFUSED, OnvifCamera, challenge, send, soap

LOGIN = DeviceLogin(USER, PASSWORD)
PATH = "/onvif/device_service"


@pytest.fixture
def serving() -> Iterator[Start]:
    with http_servers() as start:
        yield start


@pytest.mark.parametrize("ahead_s", [0, 7200, -86_400, -1_700_000_000, 800_000_000])
@pytest.mark.parametrize("wants", ["token", "digest", "nothing"])
async def test_its_streams_by_its_own_clock(wants, ahead_s, serving):
    camera = OnvifCamera(wants=wants, ahead_s=ahead_s)
    found = await streams_of(serving(camera.handler()) + PATH, LOGIN)
    assert [(s.profile, s.codec, s.width, s.height, s.url) for s in found] == [
        ("mainStream", "H264", 1920, 1080, "rtsp://127.0.0.1:554/main?x=1&y=2"),
        ("subStream", "H264", 640, 360, "rtsp://127.0.0.1:554/sub"),
    ]
    assert camera.logins == [] if wants == "nothing" else set(camera.logins) == {True}
    paths = {path for name, path in camera.asked if name in ("GetProfiles", "GetStreamUri")}
    assert paths == {"/onvif/media_service"}, "asked here, not at the address that it tells"


@pytest.mark.parametrize("wants", ["token", "digest"])
@pytest.mark.parametrize("login", [DeviceLogin(USER, "hunter3"), DeviceLogin("eve", PASSWORD)])
async def test_a_login_that_is_refused_is_given_once(wants, login, serving):
    camera = OnvifCamera(wants=wants)
    with pytest.raises(NotAnswered, match="it refuses the login; check user and password") as refused:
        await streams_of(serving(camera.handler()) + PATH, login)
    assert camera.logins == [False], "a camera locks out who guesses"
    assert refused.value.__cause__ is None
    assert login.password not in repr(login) + str(refused.value)


async def test_the_password_goes_out_as_a_digest_alone(serving):
    """A device that asks for Basic is whoever answers on this network."""
    seen: list[str] = []

    class Basic(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(str(self.headers) + self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    with pytest.raises(NotAnswered, match="refuses the login"):
        await streams_of(serving(Basic) + PATH, LOGIN)
    assert not any("Authorization" in request or PASSWORD in request for request in seen)


URIS = {
    "rtsp://0.0.0.0:8554/live": "rtsp://127.0.0.1:8554/live",
    "rtsp://[fe80::1]:554/a": "rtsp://127.0.0.1:554/a",
    "rtsp://ada:hunter2@10.0.0.7/a?b=c": "rtsp://127.0.0.1/a?b=c",
    "/stream1": "rtsp://127.0.0.1/stream1",
    "stream1?channel=1": "rtsp://127.0.0.1/stream1?channel=1",
    "rtsps://cam.example:322/x": "rtsps://127.0.0.1:322/x",
    "http://10.0.0.7/video.mjpg": "http://127.0.0.1/video.mjpg",
    "rtsp://10.0.0.7/${SECRET}": "rtsp://127.0.0.1/%24%7BSECRET%7D",
    "rtsp://10.0.0.7/a'b\"c`d\\e f": "rtsp://127.0.0.1/a%27b%22c%60d%5Ce%20f",
    "rtsp://10.0.0.7/Türe%20x": "rtsp://127.0.0.1/T%C3%BCre%20x",
}


@pytest.mark.parametrize("uri", URIS)
async def test_a_url_is_made_one_to_paste(uri, serving):
    """At the address that answered; and nothing in it is expanded by a shell, by YAML or by us."""
    camera = OnvifCamera(profiles={"main": ("H264", 1920, 1080, uri)})
    (stream,) = await streams_of(serving(camera.handler()) + PATH, LOGIN)
    assert stream.url == URIS[uri]


@pytest.mark.parametrize("uri", ["", "ftp://10.0.0.7/x", "rtsp://10.0.0.7:99999/x", "rtsp://[bad/x", "file:///etc/x"])
async def test_a_url_that_is_none_is_left_out(uri, serving):
    good = ("H264", 640, 360, "rtsp://10.0.0.7/good")
    camera = OnvifCamera(profiles={"main": ("H264", 1920, 1080, uri), "sub": good})
    assert "rtsp://127.0.0.1/good" in [
        stream.url for stream in await streams_of(serving(camera.handler()) + PATH, LOGIN)
    ]


@pytest.mark.parametrize(
    ("media_url", "path"),
    [
        ("http://10.0.0.7:8000/onvif/Media", "/onvif/Media"),
        ("/onvif/media", "/onvif/media"),
        ("media", "/onvif/media"),
        ("", PATH),
    ],
)
async def test_where_the_media_service_is(media_url, path, serving):
    camera = OnvifCamera(media_url=media_url)
    await streams_of(serving(camera.handler()) + PATH, LOGIN)
    assert {asked for name, asked in camera.asked if name == "GetProfiles"} == {path}


async def test_profiles_without_sizes_with_wrong_ones_and_too_many(serving):
    profiles = {f"p{n}": ("H264", 640, 360, f"rtsp://10.0.0.7/{n}") for n in range(40)}
    assert len(await streams_of(serving(OnvifCamera(profiles=profiles).handler()) + PATH, LOGIN)) == 16
    odd = '<trt:Profiles token="sub"><tt:VideoEncoderConfiguration><tt:Width>-1</tt:Width><tt:Height>9e9</tt:Height>'
    odd += "</tt:VideoEncoderConfiguration></trt:Profiles>"
    answers = {
        "GetProfiles": soap(f'<trt:GetProfilesResponse>{odd}<trt:Profiles token="main"/></trt:GetProfilesResponse>')
    }
    found = await streams_of(serving(OnvifCamera(answers=answers).handler()) + PATH, LOGIN)
    assert {(stream.profile, stream.width, stream.height) for stream in found} == {("sub", 0, 0), ("main", 0, 0)}


def redirect(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", "http://192.0.2.1/")
    request.end_headers()


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b" " * 65536)
    except ConnectionError:
        return


def zipped(request: BaseHTTPRequestHandler) -> None:
    data = gzip.compress(b" " * 50 * 2**20)
    request.send_response(200)
    request.send_header("Content-Encoding", "gzip")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)


ANSWERS: dict[str, tuple[bytes | Callable[[BaseHTTPRequestHandler], None], str]] = {
    "html": (b"<html><body>404", "can't be read"),
    "entities": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "document type"),
    "without end": (endless, "too large"),
    "zipped": (zipped, "can't be read"),
    "redirect": (redirect, "it answers 302"),
    "nothing": (lambda request: send(request, b"", 500), "it answers 500"),
    "closes": (lambda request: request.connection.close(), "it can't be asked"),
    "no http": (lambda request: request.wfile.write(b"\x00\x01\x02\r\n\r\n"), "it can't be asked"),
    "refusal": (REFUSED, "refuses the login"),
    "challenge": (challenge, "refuses the login"),
    "fault": (
        soap(
            "<SOAP-ENV:Fault><SOAP-ENV:Reason><SOAP-ENV:Text>\x85 Not\n supported</SOAP-ENV:Text></SOAP-ENV:Reason>"
            "</SOAP-ENV:Fault>"
        ),
        "it refuses .*Not supported",
    ),
    "empty": (soap(""), "no stream by RTSP"),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_answers_that_are_none(kind, serving):
    answer, why = ANSWERS[kind]
    camera = OnvifCamera(answers={"GetProfiles": answer})
    with pytest.raises(NotAnswered, match=why) as refused:
        await streams_of(serving(camera.handler()) + PATH, LOGIN)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value) + repr(refused.value.__cause__)


@pytest.mark.parametrize("kind", [kind for kind in ANSWERS if kind not in ("refusal", "challenge")])
async def test_a_clock_that_can_t_be_read_is_taken_for_right(kind, serving):
    camera = OnvifCamera(answers={"GetSystemDateAndTime": ANSWERS[kind][0]})
    if kind in ("closes", "no http"):
        with pytest.raises(NotAnswered):
            await streams_of(serving(camera.handler()) + PATH, LOGIN)
    else:
        assert len(await streams_of(serving(camera.handler()) + PATH, LOGIN)) == 2


async def test_a_device_that_says_nothing_is_left(serving, monkeypatch):
    monkeypatch.setattr(onvif, "LIMIT_S", 0.3)
    over = threading.Event()
    camera = OnvifCamera(answers={"GetProfiles": lambda _: over.wait(30)})
    try:
        with pytest.raises(NotAnswered, match="didn't answer within"):
            await streams_of(serving(camera.handler()) + PATH, LOGIN)
    finally:
        over.set()


async def test_nobody_is_there(free_port):
    with pytest.raises(NotAnswered, match="can't be asked"):
        await streams_of(f"http://127.0.0.1:{free_port}{PATH}", LOGIN)


async def test_hostile_answers_are_streams_or_one_line(serving):
    """Each answer in turn with bytes changed; what comes out is at the device's address, or a refusal."""
    chance = random.Random(5)
    camera = OnvifCamera(wants="nothing")
    url = serving(camera.handler()) + PATH
    good = {
        name: soap(camera.answer(name, "<ProfileToken>main</ProfileToken>"))
        for name in ("GetSystemDateAndTime", "GetCapabilities", "GetProfiles", "GetStreamUri")
    }
    answered = 0
    for _ in range(300):
        name = chance.choice(list(good))
        data = bytearray(good[name])
        start = data.index(b"Body>")
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(start, len(data))
            data[place : place + chance.randrange(3)] = chance.choice(
                [bytes([chance.randrange(256)]), b"", b"://", b"[", b"9" * 30, b"-", b"&#10;", b"${X}", b"'", b"@h:1/"]
            )
        camera.answers = {name: bytes(data)}
        try:
            found = await streams_of(url, LOGIN)
        except NotAnswered as why:
            assert "\n" not in str(why)  # noqa: PT017 (the others are answered)
            continue
        answered += 1
        for stream in found:
            scheme, _, rest = stream.url.partition("://")
            assert scheme in ("rtsp", "rtsps", "http", "https")
            assert rest.partition("/")[0].partition(":")[0] == "127.0.0.1"
            assert not set(stream.url) & set("${}'\"`\\ \n")
    assert answered > 50
