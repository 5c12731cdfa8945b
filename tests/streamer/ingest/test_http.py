"""HTTP cameras and clips, from real servers on loopback: every answer that a camera can give."""

import asyncio
import base64
import contextlib
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamer.errors import (
    CameraLoginRefused,
    CameraNotFound,
    CameraUnreachable,
    StreamInvalid,
    StreamLost,
    StreamStalled,
)
from streamer.ingest.probe import probe
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import camera_threads, drain, index_of, play, write_clip

LOGIN = "ada:hunter2"


class Camera:
    """An HTTP server whose answers wait for `release` where they hang."""

    def __init__(self, clip: Path, stream: bytes) -> None:
        self.release = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers: dict[str, Callable[[], object]] = {
                    "/clip.mp4": lambda: self.send(clip.read_bytes(), "video/mp4"),
                    "/locked.mp4": self.locked,
                    "/text.mp4": lambda: self.send(b"<html>no camera here</html>" * 50, "text/html"),
                    "/closes": lambda: self.endless(stream),
                    "/stalls": lambda: (self.endless(stream), camera.release.wait()),
                    "/silent": camera.release.wait,
                    "/busy": lambda: self.send_error(503),
                }
                answers.get(self.path.partition("?")[0], lambda: self.send_error(404))()

            def locked(self) -> None:
                want = "Basic " + base64.b64encode(LOGIN.encode()).decode()
                if self.headers.get("Authorization") == want:
                    return self.send(clip.read_bytes(), "video/mp4")
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="cam"')
                self.send_header("Content-Length", "0")
                return self.end_headers()

            def send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def endless(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the client has had enough
                    super().handle()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login + '@' if login else ''}127.0.0.1:{self.server.server_port}/{path}"


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Iterator[Camera]:
    folder = tmp_path_factory.mktemp("http")
    stream = write_clip(folder / "stream.ts", 50, form="mpegts", noise=True)
    camera = Camera(write_clip(folder / "clip.mp4"), stream.read_bytes())
    thread = threading.Thread(target=camera.server.serve_forever)
    thread.start()
    yield camera
    camera.release.set()
    camera.server.shutdown()
    camera.server.server_close()
    thread.join()


async def test_a_clip_over_http_ends_like_a_file(camera):
    played = await play(camera.url("clip.mp4"))
    assert [index_of(frame) for frame in played.frames] == list(range(50))
    assert str(played.end) == "ended"


async def test_a_clip_over_http_loops(camera):
    played = await play(camera.url("clip.mp4"), loop=True, most=70)
    assert [index_of(frame) for frame in played.frames] == [n % 50 for n in range(70)]


async def test_login(camera):
    assert len((await play(camera.url("locked.mp4", LOGIN), most=1)).frames) == 1
    with pytest.raises(CameraLoginRefused, match=r"http://\*\*\*@127.0.0.1:\d+/locked.mp4 refuses the login"):
        await play(camera.url("locked.mp4", "ada:hunter3"))
    with pytest.raises(CameraLoginRefused):
        await play(camera.url("locked.mp4"))


@pytest.mark.parametrize(
    ("path", "error"), [("nowhere", CameraNotFound), ("busy", CameraUnreachable), ("text.mp4", StreamInvalid)]
)
async def test_answers_that_are_no_video(camera, path, error):
    with pytest.raises(error) as refused:
        await play(camera.url(f"{path}?token=hunter2", LOGIN))
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__context__ is None


async def test_a_refused_connection(free_port):
    with pytest.raises(CameraUnreachable, match="can't be reached"):
        await play(f"http://127.0.0.1:{free_port}/x")


async def test_a_live_stream_that_closes_is_lost(camera):
    url = camera.url("closes")
    settings = CameraSettings(url=url, fps=25)
    async with asyncio.timeout(10), open_source("door", settings, url) as source:
        with pytest.raises(StreamLost):
            await drain(source)


async def test_a_live_stream_that_falls_silent_stalls(camera):
    url = camera.url("stalls")
    settings = CameraSettings(url=url, fps=25, read_timeout_s=0.5, open_timeout_s=5)
    async with asyncio.timeout(10), open_source("door", settings, url) as source:
        with pytest.raises(StreamStalled, match=r"sent no video for 0\.5 s"):
            await drain(source)


async def test_a_server_that_accepts_and_says_nothing_is_unreachable(camera):
    with pytest.raises(CameraUnreachable, match="didn't answer in time"):
        await play(camera.url("silent"), open_timeout_s=0.5)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_an_rtsp_camera_that_accepts_and_says_nothing_is_unreachable(transport):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"rtsp://{LOGIN}@127.0.0.1:{deaf.getsockname()[1]}/x"
        with pytest.raises(CameraUnreachable, match="didn't answer in time") as refused:
            await play(url, open_timeout_s=0.5, transport=transport)
    assert "hunter2" not in str(refused.value)


async def test_leaving_does_not_wait_for_a_read_that_hangs(camera):
    url = camera.url("stalls")
    settings = CameraSettings(url=url, fps=25, read_timeout_s=60)
    async with asyncio.timeout(10), open_source("hung", settings, url) as source:
        await source.take()
        while source.silent_s < 0.2:
            await asyncio.sleep(0.01)
    assert camera_threads() == ["camera-hung", "camera-hung-read"]
    camera.release.set()
    async with asyncio.timeout(10):
        while camera_threads():
            await asyncio.sleep(0.01)
    camera.release.clear()


async def test_probe(camera):
    url = camera.url("clip.mp4")
    report = (await probe(url, CameraSettings(url=url))).report
    assert (report.codec, report.width, report.height, report.fps) == ("h264", 160, 96, 25)
    assert report.transport == "http"
    assert 0 < report.open_s <= report.first_frame_s


async def test_probe_says_what_is_wrong(camera):
    with pytest.raises(CameraNotFound, match="camera probe: http"):
        await probe(camera.url("nowhere"), CameraSettings(url="x"))


@pytest.mark.parametrize("path", ["closes", "nothing"])
async def test_a_source_that_ended_is_gone_with_its_pictures_at_once(camera, path):
    async def played() -> list[weakref.ref]:
        source = open_source("door", CameraSettings(url=camera.url(path)), camera.url(path))
        try:
            async with source:
                await drain(source)
        except (StreamLost, CameraNotFound):
            return [weakref.ref(kept) for kept in (source, source._decoder, source._slot)]
        raise AssertionError("it went on")

    gc.collect()
    gc.disable()  # the collector would come one day, and a decoder's pool is tens of megabytes
    try:
        assert [kept() for kept in await played()] == [None, None, None]
    finally:
        gc.enable()
