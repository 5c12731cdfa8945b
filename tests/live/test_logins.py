"""Cameras that want a login which libav does not know: RTSP and HTTP, in every order in which offers come."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from streamer.errors import CameraError, CameraLoginRefused, StreamLost
from streamer.ingest.frame import Frame
from streamer.ingest.logins.login import login_of
from streamer.ingest.logins.relay import LoginRelay
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from tests.http_servers import Quiet, http_servers
from tests.live.login_gate import PASSWORD, USER, LoginGate, is_right
from tests.live.servers import RtspServer, unused_port
from tests.streamer.ingest.clips import assert_no_camera_thread, drain, index_of, write_clip

pytestmark = pytest.mark.live

WRONG = "hunter3"


def login(password: str) -> str:
    return f"{USER}:{quote(password, safe='')}@"


async def take(url: str, count: int, **others) -> list[Frame]:
    camera = CameraSettings.model_validate({"url": url, "fps": 25, "open_timeout_s": 5, **others})
    async with asyncio.timeout(20), open_source("door", camera, url) as source:
        return [await source.take() for _ in range(count)]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert_no_camera_thread()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RtspServer]:
    clip: Path = write_clip(tmp_path_factory.mktemp("clips") / "h264.mp4", 25, size=(320, 192))
    with RtspServer(unused_port(), {"door": clip}) as server:
        yield server


OFFERS = [
    ["SHA-256"],
    ["SHA-256", "MD5"],
    ["MD5", "SHA-256"],
    ["MD5", "SHA-256", "Basic"],
    ["MD5"],
    ["SHA-512-256", "SHA-256", "MD5"],
]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("offers", OFFERS, ids="+".join)
async def test_rtsp(server, offers, transport):
    with LoginGate(server.port, offers) as gate:
        frames = await take(f"rtsp://{login(PASSWORD)}127.0.0.1:{gate.port}/door", 30, transport=transport)
        assert len({index_of(frame) for frame in frames}) > 15
        assert gate.seen.count(None) <= 4, "a few requests to learn what is asked for"


@pytest.mark.parametrize(("qop", "renew_after"), [(False, 1000), (True, 3), (False, 4)])
async def test_rtsp_without_qop_and_with_nonces_that_grow_old(server, qop, renew_after):
    with LoginGate(server.port, ["SHA-256"], qop=qop, renew_after=renew_after) as gate:
        assert len(await take(f"rtsp://{login(PASSWORD)}127.0.0.1:{gate.port}/door", 3)) == 3


async def test_a_camera_that_is_killed_is_lost(server):
    with LoginGate(server.port, ["SHA-256"]) as gate:
        url = f"rtsp://{login(PASSWORD)}127.0.0.1:{gate.port}/door"
        async with asyncio.timeout(20), open_source("door", CameraSettings(url=url), url) as source:
            await source.take()
            gate.__exit__(None, None, None)
            with pytest.raises(StreamLost):
                await drain(source)


@pytest.mark.parametrize("offers", [["SHA-256"], ["MD5", "SHA-256"]], ids="+".join)
async def test_a_wrong_password_is_refused_and_shown_nowhere(server, offers, caplog):
    caplog.set_level(logging.DEBUG)
    with LoginGate(server.port, offers) as gate, pytest.raises(CameraLoginRefused, match="check the user") as refused:
        await take(f"rtsp://{login(WRONG)}127.0.0.1:{gate.port}/door", 1)
    assert sum(seen is not None for seen in gate.seen) <= 2, "a camera locks out who guesses"
    assert WRONG not in caplog.text + str(refused.value) + repr(refused.value.__context__)


async def test_nobody_else_gets_in_by_the_relay(server):
    """Another program of this machine finds the port, and neither the camera's picture nor its login."""

    with LoginGate(server.port, ["SHA-256"]) as gate:
        mine = login_of(f"rtsp://{login(PASSWORD)}127.0.0.1:{gate.port}/door")
        assert mine is not None
        with LoginRelay(mine, 2) as relay:
            port = re.search(r":(\d+)/", relay.url)
            assert port is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port[1]))
            writer.write(b"DESCRIBE rtsp://127.0.0.1/door RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert gate.seen == []


PICTURE = cv2.imencode(".jpg", np.full((96, 160, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def http_camera() -> Iterator[Callable[..., str]]:
    """A URL of pictures behind a login: one for each asking, or as many as are wanted, one after another."""

    def handler(offers: list[str], pictures: int | None, log: list[str]) -> type[BaseHTTPRequestHandler]:
        class Handler(Quiet, BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = self.headers.get("Authorization", "")
                log.append(found)
                basic = "Basic" in offers and found.startswith("Basic ")
                if not basic and not (found.startswith("Digest") and is_right(found, "GET", self.path, "n")):
                    self.send_response(401)
                    for offer in offers:
                        digest = f'Digest realm="camera", nonce="n", algorithm={offer}, qop="auth"'
                        self.send_header("WWW-Authenticate", 'Basic realm="camera"' if offer == "Basic" else digest)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                if pictures is None:
                    self.send_header("Content-Type", "image/jpeg")
                    self.send_header("Content-Length", str(len(PICTURE)))
                    self.end_headers()
                    self.wfile.write(PICTURE)
                    return
                self.close_connection = True
                self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=fr")
                self.end_headers()
                try:
                    for _ in range(pictures):
                        self.wfile.write(b"--fr\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n")
                        time.sleep(0.02)
                except ConnectionError:
                    return

        return Handler

    with http_servers() as start:

        def url(offers: list[str], pictures: int | None, log: list[str], password: str = PASSWORD) -> str:
            base = start(handler(offers, pictures, log))
            return base.replace("//", f"//{login(password)}") + "/cgi/video?channel=1"

        yield url


@pytest.mark.parametrize("pictures", [None, 400], ids=["snapshots", "mjpeg"])
@pytest.mark.parametrize("offers", [*OFFERS, ["Basic"]], ids="+".join)
async def test_http(http_camera, offers, pictures):
    log: list[str] = []
    frames = await take(http_camera(offers, pictures, log), 5)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 96)}


async def test_http_with_a_wrong_password(http_camera):
    log: list[str] = []
    with pytest.raises(CameraLoginRefused, match="check the user"):
        await take(http_camera(["SHA-256"], None, log, WRONG), 1)
    assert sum(1 for found in log if found) <= 2


async def test_hls_says_what_can_be_done(http_camera):
    url = http_camera(["SHA-256"], None, []).replace("/cgi/video?channel=1", "/live.m3u8")
    with pytest.raises(CameraLoginRefused, match="Digest SHA-256, which can't be given for HLS"):
        await take(url, 1)


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="camera", nonce="n", opaque=',
        "Digest",
        'Digest realm="',
        "Digest =,,=",
        "\xe9\xe8",
        'Basic realm="c"',
    ],
)
@pytest.mark.parametrize("who", ["ada:x", "ada:pa[ss", "ada:geheim\uff1fx"])
async def test_whatever_is_asked_for_a_refusal_is_no_more_than_that(challenge, who, capfd):
    """A camera's words, and passwords that make a URL none, end nothing but this attempt, and are shown nowhere."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                number = re.search(r"CSeq: *(\d+)", text)
                head = f"RTSP/1.0 401 Unauthorized\r\nCSeq: {number and number[1]}\r\n"
                writer.write(f"{head}WWW-Authenticate: {challenge}\r\n\r\n".encode("latin-1"))
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CameraError) as refused:
            await take(f"rtsp://{who}@127.0.0.1:{port}/door", 1)
    finally:
        server.close()
    printed = capfd.readouterr()
    assert who.partition(":")[2] not in str(refused.value) + printed.out + printed.err
