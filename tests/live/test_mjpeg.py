"""MJPEG as cameras send it over HTTP: with boundaries, without the first, with none; and a picture for each asking."""

import asyncio
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamer.errors import CameraError, CameraNotFound, StreamInvalid, StreamLost, StreamStalled
from streamer.ingest.frame import Frame
from streamer.ingest.source import open_source
from streamer.ingest.stream import SourceHooks
from streamer.settings import CameraSettings
from tests.http_servers import Quiet, http_servers
from tests.streamer.ingest.writers import by_ffmpeg, by_gstreamer

pytestmark = pytest.mark.live

RATE, FPS = 8, 20  # pictures that the camera makes a second, and more than that are asked for
PICTURES = 100
SIZE = (320, 240)
NOISE = np.random.default_rng(3).integers(0, 40, (SIZE[1], SIZE[0], 3), np.uint8)


def numbered(number: int) -> np.ndarray:
    """A picture with noise, so that its JPEG is as large as a camera's; its left half tells its number."""
    picture = NOISE + np.uint8(100)
    picture[:, : SIZE[0] // 2] = 2 * (number % PICTURES)
    return picture


def number_of(frame: Frame) -> int:
    return round(float(frame.image.bgr()[8:-8, 8 : SIZE[0] // 2 - 8].mean()) / 2)


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", numbered(number), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def part(number: int, boundary: bytes = b"--fr\r\n") -> bytes:
    data = jpeg(number)
    return boundary + b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)


def pieces(file: Path) -> list[bytes]:
    """A writer's body, cut where pictures end."""
    body = file.read_bytes()
    ends = [match.end() for match in re.finditer(rb"\xff\xd9", body)]
    return [body[a:b] for a, b in itertools.pairwise([0, *ends])]


ALL = [numbered(number) for number in range(PICTURES)]
GST_JPEG = "videoconvert ! jpegenc quality=90 ! multipartmux boundary=fr"
BODIES: dict[str, tuple[str, Callable[[Path], list[bytes]]]] = {
    "by hand": ("multipart/x-mixed-replace;boundary=fr", lambda _: [part(n) for n in range(PICTURES)]),
    "without the first boundary": (
        "multipart/x-mixed-replace;boundary=fr",
        lambda _: [part(n, b"--fr\r\n" if n else b"") for n in range(PICTURES)],
    ),
    "jpegs one after another": ("video/x-motion-jpeg", lambda _: [jpeg(n) for n in range(PICTURES)]),
    "ffmpeg": (
        "multipart/x-mixed-replace;boundary=ffmpeg",
        lambda folder: pieces(by_ffmpeg(folder / "a", ALL, RATE, "-c:v", "mjpeg", "-q:v", "2", "-f", "mpjpeg")),
    ),
    "gstreamer": (
        "multipart/x-mixed-replace;boundary=fr",
        lambda folder: pieces(by_gstreamer(folder / "a", ALL, RATE, GST_JPEG)),
    ),
}


@pytest.fixture
def camera() -> Iterator[Callable[[str, list[bytes] | None], str]]:
    """Sends these pieces at RATE, or, without any, the picture of the moment to each who asks; its URL."""

    def handler(kind: str, body: list[bytes] | None) -> type[BaseHTTPRequestHandler]:
        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                if body is None:
                    data = jpeg(int(time.monotonic() * RATE))
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.end_headers()
                began_s = time.monotonic()
                try:
                    for number, piece in enumerate(body):
                        self.wfile.write(piece)
                        time.sleep(max(0.0, began_s + (number + 1) / RATE - time.monotonic()))
                except ConnectionError:
                    return

        return Handler

    with http_servers() as start:
        yield lambda kind, body: start(handler(kind, body)) + "/video"


async def taken(url: str, seconds: float, fps: float = FPS) -> list[Frame]:
    camera = CameraSettings(url=url, fps=fps)
    frames: list[Frame] = []
    async with asyncio.timeout(30), open_source("door", camera, url) as source:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            frames.append(await source.take())
    return frames


@pytest.mark.parametrize("how", BODIES)
async def test_every_picture_is_taken_when_it_comes(how, camera, tmp_path):
    """libav says 25 a second of any MJPEG; what counts is when they come."""
    kind, body = BODIES[how]
    frames = await taken(camera(kind, body(tmp_path)), 3)
    assert len(frames) == pytest.approx(3 * RATE, abs=3)
    steps = [later - earlier for earlier, later in itertools.pairwise(map(number_of, frames))]
    assert all(-1 <= step <= 3 for step in steps[2:]), steps
    times = [frame.captured_s for frame in frames[2:]]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 3 / RATE


@pytest.mark.parametrize("name", ["", "/snapshot.jpg", "/cgi-bin/snapshot.jpg?channel=1", "/still.jpeg"])
async def test_a_snapshot_is_asked_for_again_and_again(camera, name):
    frames = await taken(camera("image/jpeg", None) + name, 2, fps=10)
    assert 10 <= len(frames) <= 25, "20, or fewer on a machine that is busy"
    numbers = [number_of(frame) for frame in frames]
    assert len(set(numbers)) >= 2 * RATE - 3, "as many pictures as the camera makes"


class Unchanged(Quiet, BaseHTTPRequestHandler):
    """Another picture each second, with an ETag; what was sent already is not sent again."""

    protocol_version = "HTTP/1.1"
    sent: Counter[int]
    connections: set[tuple[str, int]]

    def do_GET(self) -> None:
        number = int(time.monotonic())
        self.connections.add(self.client_address)
        same = self.headers.get("If-None-Match") == f'"{number}"'
        self.send_response(304 if same else 200)
        self.send_header("ETag", f'"{number}"')
        data = b"" if same else jpeg(number)
        if not same:
            self.sent[number] += 1
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


async def test_a_snapshot_that_is_the_last_one_still_is_not_fetched_again():
    sent: Counter[int] = Counter()
    connections: set[tuple[str, int]] = set()
    handler = type("Handler", (Unchanged,), {"sent": sent, "connections": connections})
    with http_servers() as start:
        frames = await taken(start(handler) + "/picture", 3, fps=10)
    assert 15 <= len(frames) <= 36, "who stands there still is still there"
    assert max(list(sent.values())[1:]) == 1
    assert len(connections) <= 2, "libav's, when it was opened, and one for all the rest"


async def test_now_and_then_a_snapshot_is_broken(camera, monkeypatch):
    whole, numbers = jpeg, itertools.count()
    monkeypatch.setattr("tests.live.test_mjpeg.jpeg", lambda n: b"busy" if next(numbers) % 4 == 3 else whole(n))
    frames = await taken(camera("image/jpeg", None), 2, fps=10)
    assert 12 <= len(frames) <= 17


class Whole(Quiet, BaseHTTPRequestHandler):
    """Two pictures that are, then whatever `then` makes of the next."""

    protocol_version = "HTTP/1.1"
    then: Callable[[Any, bytes], None]
    asked: Counter[str]

    def do_GET(self) -> None:
        self.asked["all"] += 1
        if self.asked["all"] > 2:
            type(self).then(self, jpeg(self.asked["all"]))
        else:
            self.answer(jpeg(self.asked["all"]))

    def answer(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)


def drips(handler: Whole, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    with suppress(OSError):
        for number in range(200):
            handler.wfile.write(data[number : number + 1])
            time.sleep(0.1)


def moved(handler: Whole, data: bytes) -> None:
    if handler.path == "/picture":
        handler.answer(b"", 302, Location="/elsewhere")
    else:
        handler.answer(data)


STRANGE: dict[str, tuple[Callable[[Whole, bytes], None], type[CameraError] | None]] = {
    "an etag that is none": (lambda handler, data: handler.answer(data, ETag='"\xe9"'), None),
    "padded to blocks": (lambda handler, data: handler.answer(data + bytes(4000)), None),
    "moved": (moved, None),
    "nothing in them": (lambda handler, _: handler.answer(b""), StreamInvalid),
    "none of them decodes": (lambda handler, data: handler.answer(data[:400]), StreamInvalid),
    "no end": (drips, StreamStalled),
    "from one to the next": (lambda handler, _: handler.answer(b"", 302, Location="/a"), StreamLost),
    "gone": (lambda handler, _: handler.answer(b"", 404), CameraNotFound),
}


@pytest.mark.parametrize("what", STRANGE)
async def test_snapshots_that_are_strange(what):
    then, error = STRANGE[what]
    counts: Counter[str] = Counter()
    handler = type("Handler", (Whole,), {"asked": Counter(), "then": staticmethod(then)})
    with http_servers() as start:
        url = start(handler) + "/picture"
        camera = CameraSettings(url=url, fps=10, read_timeout_s=1)
        hooks = SourceHooks(failed=lambda code: counts.update([code]))
        async with asyncio.timeout(20), open_source("door", camera, url, 0, hooks) as source:
            with pytest.raises(error) if error else nullcontext():
                for _ in range(12):
                    await source.take()
    assert bool(counts) == (error is StreamInvalid)
    while any(thread.name == "camera-door" for thread in threading.enumerate()):
        await asyncio.sleep(0.02)
