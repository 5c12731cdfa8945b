"""/api/v1/cameras/{camera}/mjpeg over a real server: parts that a browser shows; a WebSocket's pictures with words."""

import asyncio
import base64
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.access.live_tokens import LiveTokens
from streamer.access.token_file import revoke_token
from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.api.v1 import camera_pictures
from streamer.live_view.jpeg import jpeg_of
from streamer.live_view.view import LiveView
from streamer.pipeline.camera import CameraStatus
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.streaming.listeners import silent
from tests.streamer.api.v1.api import Looked, refusal
from tests.streamer.live_view.viewers import ADA, NAMES, busy_picture, filming, picture

PATH = "/api/v1/cameras/door/mjpeg"


@dataclass
class Door:
    """A camera that films, and who may look."""

    view: LiveView
    port: int
    headers: dict[str, dict[str, str]]
    metrics: Metrics
    tokens: LiveTokens
    folder: Path

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        sent = self.headers["viewer"] if headers is None else headers
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=sent, timeout=20)

    def socket(self, path: str = PATH, **options: Any) -> connect:
        url = f"ws://127.0.0.1:{self.port}{path}"
        return connect(url, additional_headers=self.headers["viewer"], compression=None, proxy=None, **options)

    async def viewers(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.metrics.registry.get_sample_value("whosthere_viewers", {"camera": "door"}) != count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def door(folder: Path, **http: int) -> AsyncIterator[Door]:
    metrics = Metrics()
    guard, headers = guard_with_tokens(folder, metrics)
    view = LiveView(NAMES.get, metrics)
    for camera, state in (("door", "online"), ("shed", "disabled")):
        view.view(camera, 20.0)
        view.became(camera, CameraStatus(state))
    streams = camera_pictures.streams(guard, metrics, HttpSettings(**http))
    app = create_app(Looked(guard, metrics), [camera_pictures.routes(view, streams)])
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks, serve_http(app, "127.0.0.1", 0) as port:
        running = tasks.create_task(view.run(), name="live view")
        await asyncio.sleep(0)
        yield Door(view, port, headers, metrics, guard._tokens, folder)
        running.cancel()


async def next_picture(told: ClientConnection) -> tuple[dict[str, Any], bytes]:
    while "jpeg" not in (message := json.loads(await told.recv())):
        pass
    jpeg = await told.recv()
    assert isinstance(jpeg, bytes)
    assert len(jpeg) == message["jpeg"]
    return message, jpeg


async def next_text(told: ClientConnection, key: str) -> dict[str, Any]:
    while isinstance(message := await told.recv(), bytes) or key not in (found := json.loads(message)):
        pass
    return found


async def closed(told: ClientConnection) -> tuple[int, str]:
    """How, whatever comes before."""
    with suppress(ConnectionClosed):
        while True:
            await told.recv()
    return told.close_code or 0, told.close_reason or ""


async def test_parts_as_libav_reads_them(tmp_path):
    """Whoever plays MJPEG does: with lengths and boundaries, each picture at once."""
    async with door(tmp_path) as there, filming(there.view.view("door", 20.0)):
        async with there.client() as client, client.stream("GET", PATH) as answer:
            assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
            assert answer.headers["cache-control"] == "no-store"

        def read() -> list[tuple[int, int]]:
            secret = there.headers["viewer"]["Authorization"]
            options = {"headers": f"Authorization: {secret}\r\n", "timeout": "20000000"}
            with av.open(f"http://127.0.0.1:{there.port}{PATH}", format="mpjpeg", options=options) as container:
                frames = container.decode(video=0)
                return [(frame.width, frame.height) for frame, _ in zip(frames, range(5), strict=False)]

        assert await asyncio.to_thread(read) == [(320, 240)] * 5
        await there.viewers(0)


async def test_a_part_is_whole_when_it_comes(tmp_path):
    """Chromium shows a part when the boundary behind it is there."""
    async with door(tmp_path) as there, there.client() as client, client.stream("GET", PATH) as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"--picture\r\n"
        await there.viewers(1)
        there.view.view("door", 20.0).taken(picture(0))
        part = b""
        while not part.endswith(b"--picture\r\n"):
            part += await anext(pieces)
        head, _, body = part.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ") for line in head.split(b"\r\n"))
        assert fields[b"Content-Type"] == b"image/jpeg"
        jpeg = body.removesuffix(b"\r\n--picture\r\n")
        assert len(jpeg) == int(fields[b"Content-Length"])
        assert (jpeg[:2], jpeg[-2:]) == (b"\xff\xd8", b"\xff\xd9")


async def test_over_a_web_socket_with_faces_and_state(tmp_path):
    async with door(tmp_path) as there, there.socket() as told:
        assert json.loads(await told.recv())["state"] == "online"
        async with filming(there.view.view("door", 20.0)):
            numbers = [(await next_picture(told))[0]["frame"] for _ in range(4)]
            assert numbers == sorted(set(numbers))
            faces = await next_text(told, "faces")
            assert (faces["faces"][0]["person"]["id"], faces["width"]) == (ADA, 320)
        there.view.became("door", CameraStatus("offline", "stream_lost"))
        while (await next_text(told, "state"))["state"] != "offline":
            pass


async def test_so_many_a_second_at_most(tmp_path):
    async with door(tmp_path) as there, there.socket() as told, there.socket(f"{PATH}?fps=0.1") as rarely:
        await there.viewers(2)
        async with filming(there.view.view("door", 20.0)):
            first, _ = await next_picture(rarely)
            while (await next_picture(told))[0]["frame"] < first["frame"] + 6:
                pass
        there.view.removed("door")
        rest = [message async for message in rarely if isinstance(message, bytes)]
        assert rest == []


async def test_who_reads_nothing_has_the_newest_when_it_reads_again(tmp_path):
    """And is no burden: what lies on its way is two pictures and what the system's buffers hold."""
    async with door(tmp_path) as there, there.socket() as told, there.socket(max_queue=1) as deaf:
        camera = there.view.view("door", 20.0)
        async with filming(camera, fps=100, make=busy_picture, shape=(640, 360)) as given:
            await next_picture(deaf)
            deaf.transport.pause_reading()
            while len(given) < 100:
                await next_picture(told)
            deaf.transport.resume_reading()
            late = []
            while not late or late[-1] < 100:
                message, _ = await next_picture(deaf)
                late.append(message["frame"])
            assert len([number for number in late if number < 90]) <= 4, late


async def test_parts_that_nobody_takes_are_few_too(tmp_path):
    """Found by what they show: the system may hold some back, and none of those that came meanwhile."""
    busy = {"fps": 100, "make": busy_picture, "shape": (640, 360)}
    async with door(tmp_path) as there, filming(there.view.view("door", 20.0), **busy) as given:
        deaf = await silent(there.port, PATH, there.headers["viewer"])
        async with there.socket() as told:
            while len(given) < 100:
                await next_picture(told)
        came, late = b"", []
        while not late or late[-1] < 100:
            came += await asyncio.get_running_loop().sock_recv(deaf, 1 << 20)
            parts = [came[head.end() :][: int(head[1])] for head in re.finditer(rb"Length: (\d+)\r\n\r\n", came)]
            if parts and parts[-1].endswith(b"\xff\xd9"):
                numbers = {jpeg_of(frame.image): number for number, frame in enumerate(given)}
                late = [numbers[part] for part in parts]
        deaf.close()
        assert len([number for number in late if number < 90]) <= 4, late


async def test_a_client_that_never_reads_costs_nobody_else_anything(tmp_path):
    async with (
        door(tmp_path) as there,
        filming(there.view.view("door", 20.0), fps=100, make=busy_picture, shape=(640, 360)),
    ):
        mute = [await silent(there.port, PATH, there.headers["viewer"], is_socket=is_socket) for is_socket in (0, 1)]
        await there.viewers(2)
        async with there.socket() as told:
            numbers = [(await next_picture(told))[0]["frame"] for _ in range(30)]
            assert numbers[-1] - numbers[0] < 90
        for one in mute:
            one.close()
        await there.viewers(0)


async def test_a_rate_that_is_none(tmp_path):
    async with door(tmp_path) as there, there.client() as client:
        for fps in ("0", "-1", "nan", "inf", "999", "x", "0.01", "1e400", ""):
            assert refusal(await client.get(f"{PATH}?fps={fps}")) == (422, "request_invalid"), fps
            with pytest.raises(InvalidStatus) as refused:
                await there.socket(f"{PATH}?fps={fps}").__aenter__()
            assert refused.value.response.status_code == 422


@pytest.mark.parametrize(
    ("camera", "expected"), [("cellar", (404, "camera_unknown")), ("shed", (409, "camera_disabled"))]
)
async def test_cameras_that_nobody_can_look_at(tmp_path, camera, expected):
    path = f"/api/v1/cameras/{camera}/mjpeg"
    async with door(tmp_path) as there, there.client() as client:
        assert refusal(await client.get(path)) == expected
        assert refusal(await client.get(path, headers={"Authorization": ""})) == (401, "token_missing")
        with pytest.raises(InvalidStatus) as refused:
            async with there.socket(path):
                pass
        assert refused.value.response.status_code == expected[0]


async def test_the_token_as_a_password(tmp_path):
    """As Home Assistant and other programs send it, who know a user and a password."""
    async with door(tmp_path) as there:
        secret = there.headers["viewer"]["Authorization"].removeprefix("Bearer ")
        for password, status in ((secret, 200), ("wt_wrong", 401)):
            login = base64.b64encode(f"anybody:{password}".encode()).decode()
            async with (
                there.client({"Authorization": f"Basic {login}"}) as client,
                client.stream("GET", PATH) as answer,
            ):
                assert answer.status_code == status


async def test_a_camera_that_is_removed_and_a_token_that_is_revoked_end_it(tmp_path):
    async with door(tmp_path) as there, there.client() as client:
        async with there.socket() as told, client.stream("GET", PATH) as answer:
            await there.viewers(2)
            there.view.removed("door")
            assert await closed(told) == (1001, "camera_unknown")
            assert b"".join([piece async for piece in answer.aiter_raw()]).endswith(b"--picture\r\n")
        there.view.view("door", 20.0)
        there.view.became("door", CameraStatus("online"))
        async with there.socket() as told:
            revoke_token(there.folder / "tokens.json", "the viewer")
            there.tokens.look()
            assert await closed(told) == (1008, "token_invalid")


@pytest.mark.parametrize(("most", "open_to_one"), [(0, 0), (1, 1), (4, 2)])
async def test_no_more_than_are_allowed(tmp_path, most, open_to_one):
    async with door(tmp_path, picture_streams=most) as there, there.client() as client:
        sockets = [await there.socket() for _ in range(open_to_one)]
        await there.viewers(open_to_one)
        answer = await client.get(PATH)
        assert refusal(answer) == (503, "too_many_listeners")
        assert "http.picture_streams" in answer.json()["detail"]
        assert answer.headers["retry-after"]
        for one in sockets:
            await one.close()
        await there.viewers(0)


async def test_one_that_is_silent_says_that_all_is_well(tmp_path, monkeypatch):
    monkeypatch.setattr(camera_pictures, "BEAT_S", 0.1)
    async with door(tmp_path) as there, there.socket() as told:
        assert "state" in json.loads(await told.recv())
        for _ in range(2):
            assert json.loads(await told.recv()) == {}


def test_the_system_can_hold_back_what_is_not_taken():
    """Else a slow line would lag by what its buffers hold: where this fails the documentation says too much."""
    assert hasattr(socket, "TCP_NOTSENT_LOWAT")
