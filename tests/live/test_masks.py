"""Acceptance: who stands under a mask is in nothing that anybody or any network sees; who is in no region is not told.

She stands before violet, at a real RTSP server's camera, a stranger beside her: where there is violet, there is she.
"""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest

from recognition.models.model_runner import ModelRunner
from streamer.enrolment.pictures import pictures_of
from streamer.ingest.probe import probe
from streamer.mqtt.home_assistant.last_faces import LastFaces
from streamer.webrtc.sessions import open_sessions
from tests.faces import CELL_PX, ENCODING, FPS, KNOWN, NAME, STRANGERS, picture_of
from tests.live.servers import RtspServer, unused_port
from tests.live.service import until
from tests.streamer.api.v1.running import running
from tests.streamer.ingest.writers import by_ffmpeg
from tests.streamer.live_view.viewers import Browser

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

VIOLET = (255, 0, 255)
# Her place, and as much beside it as a codec carries over; the stranger's.
HERS = [[0, 0], [0.36, 0], [0.36, 0.55], [0, 0.55]]
THE_STRANGERS = [[2 / 3, 0], [1, 0], [1, 0.5], [2 / 3, 0.5]]


def scene(number: int) -> np.ndarray:
    picture = picture_of([KNOWN, None, STRANGERS[0]], np.sin(2 * np.pi * number / FPS))
    place = picture[:CELL_PX, :CELL_PX]
    place[(place == 96).all(axis=2)] = VIOLET
    return picture


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Iterator[RtspServer]:
    clip = tmp_path_factory.mktemp("hall") / "hall.mp4"
    options = [option for key, value in ENCODING.items() for option in (f"-{key}", value)]
    by_ffmpeg(clip, [scene(number) for number in range(2 * FPS)], FPS, "-c:v", "libx264", "-g", "10", *options)
    with RtspServer(unused_port(), {"hall": clip}) as server:
        yield server


def violet(planes: np.ndarray, scale: float = 255.0) -> int:
    """Pixels of (3, h, w), red or blue first, that are violet; scale: from black to white."""
    first, green, last = planes.astype(np.float32) / scale
    return int(np.count_nonzero((first - green > 0.6) & (last - green > 0.6)))


def violet_of_picture(bgr: np.ndarray) -> int:
    return violet(bgr.transpose(2, 0, 1))


def of_jpeg(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


class Spy:
    """What every network is fed, and each last face of hers that is published: how much violet is in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fed: list[tuple[str, int]] = []
        self.last_faces: list[int] = []
        run, put = ModelRunner.run, LastFaces._put

        def seen(runner: ModelRunner, batch: np.ndarray) -> list[np.ndarray]:
            self.fed += [(runner.spec.kind, violet(tensor, 255 / runner.spec.input.std)) for tensor in batch]
            return run(runner, batch)

        def kept(faces: LastFaces, name: str, jpeg: bytes) -> None:
            self.last_faces.append(violet_of_picture(of_jpeg(jpeg)))
            put(faces, name, jpeg)

        monkeypatch.setattr(ModelRunner, "run", seen)
        monkeypatch.setattr(LastFaces, "_put", kept)

    def forget(self) -> None:
        self.fed, self.last_faces = [], []

    def fed_to(self, kind: str) -> list[int]:
        return [found for network, found in self.fed if network == kind]


async def viewed(service) -> np.ndarray:
    """A picture as a browser gets it, once it is sharp."""
    async with open_sessions((), 4, lambda _: None) as sessions:
        browser = Browser()
        try:
            await browser.open(sessions, service.live_view, "hall")
            for _ in range(5):
                picture = await browser.pictures.get()
            return picture.to_ndarray(format="bgr24")
        finally:
            await browser.close()
            await sessions.close_all("the test is over")


class Hall:
    """The service and its camera, as they are asked over HTTP."""

    def __init__(self, service, api, spy: Spy) -> None:
        self.service, self.api, self.spy = service, api, spy

    def count(self, metric: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(f"whosthere_{metric}_total", labels) or 0.0

    def told(self, known: bool) -> float:
        return self.count("events", type="new", known="true" if known else "false")

    async def change(self, **settings: object) -> None:
        answer = await self.api.ask("PATCH", "/api/v1/cameras/hall", "operator", json=settings)
        assert answer.status_code == 200, answer.text
        assert {key: answer.json()[key] for key in settings} == settings
        self.spy.forget()

    async def until_somebody_is_told(self, known: bool) -> None:
        before = self.told(known)
        await until(lambda: self.told(known) > before and len(self.spy.fed_to("detector")) > 10, 60)

    async def kept(self) -> dict[str, tuple[dict, dict[str, np.ndarray]]]:
        """Visits by their ids, each with its pictures."""
        found = {}
        told = (await self.api.ask("GET", "/api/v1/events?camera=hall")).json()["events"]
        for event_id in {event["event_id"] for event in told}:
            visit = (await self.api.ask("GET", f"/api/v1/events/{event_id}")).json()
            pictures = {}
            for kind in visit["snapshots"]:
                answer = await self.api.ask("GET", f"/api/v1/events/{event_id}/snapshots/{kind}")
                pictures[kind] = of_jpeg(answer.content)
            found[event_id] = visit, pictures
        return found

    async def probed(self) -> dict:
        answer = await self.api.ask("POST", "/api/v1/cameras/hall/probe?seconds=0", "operator")
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def watched(tmp_path, camera: RtspServer, spy: Spy):
    async with running(
        tmp_path,
        {"hall": {"url": camera.url("hall"), "fps": 5, "snapshots": True}},
        mqtt={"port": 1, "home_assistant": {"enabled": True, "pictures": "known"}},
        events={"keep_unknown_h": 1, "gone_after_s": 1, "faces_to_settle": 1, "faces_to_name": 1},
    ) as (service, api):
        photo = {"images": (KNOWN.file.name, KNOWN.file.read_bytes(), "image/jpeg")}
        made = await api.ask("POST", "/api/v1/people", "operator", data={"name": NAME}, files=photo)
        assert made.status_code == 201, made.text
        yield Hall(service, api, spy)


async def test_nothing_that_anybody_sees_shows_what_a_mask_hides(tmp_path, camera, monkeypatch):
    async with asyncio.timeout(200), watched(tmp_path, camera, Spy(monkeypatch)) as hall:
        spy = hall.spy
        # Without a mask she is named, and seen everywhere.
        await until(lambda: hall.told(known=True) >= 1 and hall.told(known=False) >= 1, 60)
        assert max(spy.fed_to("detector")) > 100
        assert max(spy.last_faces) > 100
        assert violet_of_picture(await viewed(hall.service)) > 100
        await until(lambda: hall.count("visits_kept") >= 1, 30)
        before = await hall.kept()
        assert max(violet_of_picture(pictures["scene"]) for _, pictures in before.values()) > 100
        assert (await hall.probed())["faces"] == 2

        await hall.change(masks=[HERS])
        named = hall.told(known=True)
        await hall.until_somebody_is_told(known=False)
        assert set(spy.fed_to("detector")) == {0}
        assert set(spy.fed_to("embedder")) == {0}
        assert not spy.last_faces, "of whoever is known, and she is not seen"
        seen = await viewed(hall.service)
        assert violet_of_picture(seen) == 0
        hidden = seen[: seen.shape[0] // 2, : seen.shape[1] // 3]
        assert int(hidden.max()) < 24, "black, but for what the encoder makes of its edge"
        probed = await hall.probed()
        assert probed["faces"] == 1
        assert "20 % of its picture is masked: black, whoever looks at it" in probed["notes"]
        settings = hall.service.cameras[0].settings
        found = await probe(settings.url, settings, "hall")
        assert violet_of_picture(found.frame.image.bgr()) == 0
        async for _, picture in pictures_of("hall", settings, 0.5):
            assert violet_of_picture(picture.bgr()) == 0

        async def kept_since() -> list[tuple[dict, dict[str, np.ndarray]]]:
            return [kept for event_id, kept in (await hall.kept()).items() if event_id not in before and kept[1]]

        await until(kept_since, 30)
        for visit, pictures in await kept_since():
            assert {event["person"] for event in visit["events"]} == {None}
            assert set(pictures) == {"face", "scene"}
            assert all(violet_of_picture(picture) == 0 for picture in pictures.values())
        assert hall.told(known=True) == named, "nobody has named her since"


async def test_whom_no_region_holds_nobody_tells(tmp_path, camera, monkeypatch):
    async with asyncio.timeout(200), watched(tmp_path, camera, Spy(monkeypatch)) as hall:
        await hall.change(regions=[THE_STRANGERS])
        named = hall.told(known=True)
        await hall.until_somebody_is_told(known=False)
        assert max(hall.spy.fed_to("detector")) > 100, "a region hides nothing"
        assert hall.count("faces_outside", camera="hall") > 5
        assert hall.told(known=True) == named
        probed = await hall.probed()
        assert probed["faces"] == 1
        assert "faces and movement count in 17 % of its picture: in its regions" in probed["notes"]

        # A mask wins over a region.
        await hall.change(regions=[THE_STRANGERS, HERS], masks=[HERS])
        await hall.until_somebody_is_told(known=False)
        assert set(hall.spy.fed_to("detector")) == {0}
        assert hall.told(known=True) == named

        await hall.change(regions=[], masks=[])
        await until(lambda: hall.told(known=True) > named, 60)


async def test_a_polygon_that_is_none_changes_nothing(tmp_path):
    refused = [
        ({"masks": [[[0, 0], [1, 1], [1, 0], [0, 1]]]}, "body.masks: polygon 1 crosses itself"),
        ({"regions": [HERS, [[0, 0], [2, 0], [1, 1]]]}, "body.regions: polygon 2: point 2, [2, 0], lies outside"),
    ]
    async with running(tmp_path, {"hall": {"url": "rtsp://192.0.2.9/h264", "enabled": False}}) as (_, api):
        for settings, told in refused:
            for method in ("PATCH", "PUT"):
                answer = await api.ask(method, "/api/v1/cameras/hall", "operator", json=settings)
                assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
                assert answer.json()["detail"].startswith(told)
        shown = (await api.ask("GET", "/api/v1/cameras/hall")).json()
        assert (shown["masks"], shown["regions"], shown["from"]) == ([], [], "yaml")
        same = await api.ask("PATCH", "/api/v1/cameras/hall", "operator", json={"masks": []})
        assert (same.status_code, same.json()["from"]) == (200, "yaml"), "as it is anyway"
