"""/api/v1/cameras/{camera}/faces over a real server: frames with their faces, the newest first of all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.api.streaming.streams import Streams
from streamer.api.v1 import camera_faces
from streamer.ingest.frame import Frame
from streamer.live_view.view import LiveView
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Looked, refusal

PATH = "/api/v1/cameras/door/faces"
ADA = "p7f3k2m9q1xz"
FACE = SeenFace((10, 20, 60, 90), 0.9, True, ADA, 0.71, 0.83)
STRANGER = SeenFace((1, 2, 3, 4), 0.5, False, None, None, 0.25)


@dataclass
class Watched:
    """A camera's view, and who may look."""

    view: LiveView
    port: int
    headers: dict[str, dict[str, str]]

    def frame(self, number: int, *faces: SeenFace) -> None:
        """The camera's path looked at one; only where somebody looks, as it has it."""
        path = self.view.view("door", 10.0)
        size = cast(Any, SimpleNamespace(width=1280, height=720))
        if path.looks:
            path.looked(Frame(number, size, 1000.0 + number, float(number), 0.001), list(faces))

    async def until_looked_at(self, *, looked_at: bool = True) -> None:
        async with asyncio.timeout(10):
            while self.view.view("door", 10.0).looks is not looked_at:
                await asyncio.sleep(0)

    def client(self, role: str = "viewer") -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=self.headers[role], timeout=10)

    def socket(self, path: str = PATH) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}{path}", additional_headers=self.headers["viewer"], compression=None, proxy=None
        )


@pytest.fixture
async def door(tmp_path):
    async with watched(tmp_path) as door:
        yield door


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    metrics = Metrics()
    guard, headers = guard_with_tokens(folder, metrics)
    view = LiveView({ADA: "Ada Lovelace"}.get, metrics)
    for camera, state in (("door", "online"), ("shed", "disabled")):
        view.view(camera, 10.0)
        view.became(camera, CameraStatus(state))
    routers = [camera_faces.routes(view, Streams(guard, metrics))]
    async with serve_http(create_app(Looked(guard, metrics), routers), "127.0.0.1", 0) as port:
        yield Watched(view, port, headers)


async def test_each_frame_as_an_event(door: Watched) -> None:
    async with door.client() as client, client.stream("GET", PATH) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        await door.until_looked_at()
        door.frame(7, FACE, STRANGER)
        line = await anext(line async for line in lines if line.startswith("data: "))
    told = json.loads(line.removeprefix("data: "))
    assert (told["frame"], told["captured_at"], told["width"]) == (7, 1007.0, 1280)
    assert told["faces"] == [
        {
            "box": [10, 20, 60, 90],
            "score": 0.9,
            "decision": "known",
            "person": {"id": ADA, "name": "Ada Lovelace"},
            "similarity": 0.71,
            "quality": 0.83,
        },
        {"box": [1, 2, 3, 4], "score": 0.5, "decision": None, "person": None, "similarity": None, "quality": 0.25},
    ]
    await door.until_looked_at(looked_at=False)


async def test_over_a_web_socket_who_is_slow_gets_the_newest(door: Watched) -> None:
    async with door.socket() as socket:
        await door.until_looked_at()
        for number in range(100):  # all before the stream has its turn
            door.frame(number)
        assert json.loads(await socket.recv())["frame"] == 99
        door.frame(100, FACE)
        assert json.loads(await socket.recv())["faces"][0]["person"]["id"] == ADA


async def test_it_is_encoded_once_for_all(door: Watched) -> None:
    with door.view.listening("door") as one, door.view.listening("door") as other:
        door.frame(1, FACE)
        assert (await one.take())[0] is (await other.take())[0]


async def test_a_camera_that_is_removed_ends_it(door: Watched) -> None:
    async with door.socket() as socket:
        await door.until_looked_at()
        door.view.removed("door")
        with pytest.raises(ConnectionClosed) as ended:
            await socket.recv()
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "camera_unknown")


@pytest.mark.parametrize(
    ("camera", "expected"), [("cellar", (404, "camera_unknown")), ("shed", (409, "camera_disabled"))]
)
async def test_cameras_that_nobody_can_look_at(door: Watched, camera: str, expected: tuple[int, str]) -> None:
    path = f"/api/v1/cameras/{camera}/faces"
    async with door.client() as client:
        assert refusal(await client.get(path)) == expected
        assert refusal(await client.get(path, headers={"Authorization": ""})) == (401, "token_missing")
    with pytest.raises(InvalidStatus) as refused:
        async with door.socket(path):
            pass
    assert refused.value.response.status_code == expected[0]
