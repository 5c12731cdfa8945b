"""A day of a house in half a minute: everything that a dashboard shows happens to a real service once.

A folder goes in; while it lasts a real Prometheus scrapes the real service. Three cameras (a clip, a snapshot server
that fails, a publisher), a broker that goes and refuses; people, models, listeners and viewers that change. Our alert
rules look on, made so much quicker that minutes are seconds.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from streamer.kept_visits import visits_schema
from tests.faces import KNOWN, NAME, STRANGERS, picture_of, write_film
from tests.grafana.viewer import viewing
from tests.http_servers import Quiet, http_servers
from tests.live.alerting import Alerting
from tests.live.mosquitto import Mosquitto
from tests.live.publishers import by_ffmpeg
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.live.test_cameras_at_run_time import publish
from tests.streamer.access.keys import bearer
from tests.streamer.api.streaming.listeners import events
from tests.twin import TWIN, write_twin

ALL = "topic readwrite #\n"
SOME = "topic read #\n" + "".join(
    f"topic write whosthere/{those}\n" for those in ("cameras/gate/#", "service/#", "available")
)


class Snapshots:
    """A camera that is asked for each picture: `fine`, `dark`, `damaged`, or `away` (503)."""

    def __init__(self) -> None:
        self.mode = "fine"
        upside_down = np.rot90(picture_of([KNOWN, None, STRANGERS[1]]), 2)
        pictures = {"fine": upside_down, "dark": np.zeros_like(upside_down)}
        self.pictures = {mode: cv2.imencode(".jpg", picture)[1].tobytes() for mode, picture in pictures.items()}
        self.pictures["damaged"] = b"no picture"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.mode == "away":
                    self.send_error(503)
                    return
                data = camera.pictures[camera.mode]
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler


@dataclass(slots=True)
class House:
    """What runs; things happen to it by happen()."""

    folder: Path
    service: ServiceProcess
    broker: Mosquitto
    prometheus: Alerting
    yard: Snapshots
    film: Path
    rtsp_port: int
    admin: dict[str, str]

    @property
    def url(self) -> str:
        assert self.service.http is not None
        return self.service.http

    async def shows(self, condition: str) -> None:
        """Until Prometheus knows that a condition holds, like `sum(metric) > 3`."""
        await until(lambda: self.prometheus.at(condition, time.time()), 90)

    async def tells(self, alert: str, by: Callable[[], object]) -> None:
        """Until an alert of configs/prometheus fires, and then, once `by` has mended it, until it no longer does."""
        firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
        await self.shows(firing)
        by()
        await self.shows(f"absent({firing})")

    def publisher(self, password: str):
        return by_ffmpeg(
            self.film, f"rtsp://ada:{password}@127.0.0.1:{self.rtsp_port}/gate", self.folder / f"{password}.log"
        )


def configuration(folder: Path, broker: Mosquitto, yard: str, rtsp_port: int) -> dict[str, Any]:
    write_twin(folder / "weights")
    film = write_film(folder / "street.mp4", ([KNOWN, STRANGERS[0]], 2), ([], 1), ([STRANGERS[2]], 1), ([], 1))
    return {
        "paths": {"models": ["weights"], "data": "data", "keys": "keys"},
        "recognition": {"ladder": [TWIN], "minimum_stay_s": 0},
        "mqtt": {"port": broker.port, "commands": ["cameras/enabled"]},
        "ingest": {"rtsp": {"port": rtsp_port}},
        "gallery": {"rerank": True},
        "events": {"faces_to_settle": 1, "gone_after_s": 0.5, "outbox_limit": 10},
        "cameras": {
            "street": {"url": str(film), "fps": 4, "loop": True, "snapshots": True},
            "yard": {"url": f"{yard}/snapshot.jpg", "fps": 3},
            "gate": {"url": "publish://", "user": "ada", "password": "secret", "fps": 3},
        },
    }


def of_the_future(visits: Path) -> None:
    """A file of kept visits as a newer version would leave it: none can be kept until it is gone."""
    visits.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(visits)) as file:
        file.executescript(
            f"PRAGMA application_id = {visits_schema._APPLICATION_ID}; PRAGMA user_version = 99; CREATE TABLE a (b)"
        )


@contextmanager
def without_templates(gallery: Path) -> Iterator[None]:
    """Nobody has one of the twin any more; while this lasts none is made, for the file is being written."""
    with closing(sqlite3.connect(gallery, isolation_level=None)) as file:
        file.execute("DELETE FROM templates WHERE space = ?", (f"{TWIN}.1",))
        file.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def house(folder: Path) -> Iterator[House]:
    """A service that is about to start, and a Prometheus that waits for it."""
    (folder / "mosquitto").mkdir()
    yard, rtsp_port = Snapshots(), unused_port()
    with Mosquitto(folder / "mosquitto", acl=ALL) as broker, Alerting(folder) as prometheus, http_servers() as start:
        service = ServiceProcess(folder, configuration(folder, broker, start(yard.handler()), rtsp_port))
        service.run("enrol", NAME, KNOWN.file)
        admin = bearer(service.run("tokens", "make", "admin", "--role", "admin").strip())
        of_the_future(service.data / "visits.db")
        yield House(folder, service, broker, prometheus, yard, folder / "street.mp4", rtsp_port, admin)


async def happen(house: House) -> None:
    """All of it, some of it beside each other; each part waits until it shows in the metrics."""
    async with httpx.AsyncClient(base_url=house.url, headers=house.admin, timeout=60) as client:
        parts: list[Callable[[House, httpx.AsyncClient], Awaitable[None]]] = [
            cameras,
            broker,
            people_and_models,
            visitors,
        ]
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part(house, client), name=part.__name__)


async def cameras(house: House, client: httpx.AsyncClient) -> None:
    """The yard's sees nothing for ten seconds, is lost, comes back; one publishes, another with a wrong password."""
    with house.publisher("wrong") as wrong:
        await until(lambda: wrong.is_over)
    with house.publisher("secret"):
        await house.shows('sum(whosthere_frames_total{camera="gate", outcome="processed"}) >= 3')
        house.yard.mode = "dark"
        await house.shows('sum(whosthere_camera_trouble{camera="yard"}) >= 1')
        house.yard.mode = "damaged"
        await house.shows('sum(whosthere_frames_total{camera="yard", outcome="failed"}) >= 1')
        house.yard.mode = "away"
        await house.shows('sum(whosthere_camera_state{camera="yard", state="offline"}) >= 1')
        await house.shows('sum(whosthere_camera_reconnects_total{camera="yard"}) >= 1')
        await house.tells("WhosthereCameraOffline", lambda: setattr(house.yard, "mode", "fine"))
        await house.shows('sum(whosthere_camera_up{camera="yard"}) >= 1')


async def broker(house: House, client: httpx.AsyncClient) -> None:
    """It refuses topics, goes away until messages are given up, and comes back; the outbox's file is deleted."""
    await house.shows("sum(whosthere_visits_lost_total) >= 1")
    (house.service.data / "visits.db").unlink()
    await house.shows("sum(whosthere_event_latency_seconds_count) >= 4")
    publish(house.broker.port, "whosthere/cameras/street/enabled/set", "ON")
    publish(house.broker.port, "whosthere/cameras/nowhere/enabled/set", "OFF")
    await house.shows("sum(whosthere_broker_commands_total) >= 2")
    house.broker.allow(SOME)
    await house.shows("sum(whosthere_outbox_set_aside) >= 1")
    await house.tells("WhosthereBrokerRefusesTopics", lambda: house.broker.allow(ALL))
    house.broker.stop()
    await house.shows("sum(whosthere_outbox_dropped_total) >= 1")
    (house.service.data / "outbox.db").unlink()
    await house.shows("sum(whosthere_outbox_errors_total) >= 1")
    await house.tells("WhosthereBrokerDown", house.broker.start)
    await house.shows("sum(whosthere_outbox_depth) == 0")
    await house.shows("sum(whosthere_visits_kept_total) >= 1")
    await house.shows('sum(rate(whosthere_stage_seconds_count{stage="publish"}[4s])) > 1')


async def people_and_models(house: House, client: httpx.AsyncClient) -> None:
    """Somebody is enrolled and forgotten, the gallery is calibrated, another embedder serves for a while."""
    await house.shows("sum(whosthere_time_to_name_seconds_count) >= 1")
    portrait = STRANGERS[2]
    with Path(portrait.file).open("rb") as photo:
        made = await client.post("/api/v1/people", data={"name": "Grace Hopper"}, files={"images": photo})
    assert made.status_code == 201, made.text
    await house.service.until_people(2)
    done = await client.post("/api/v1/calibration", json={"fpir": 0.01})
    assert done.status_code == 200, done.text
    of_all = f'whosthere_gallery_templates{{model="{TWIN}"}} >= 2'
    await house.shows(of_all)
    with without_templates(house.service.data / "gallery.db"):
        await house.shows("max(whosthere_gallery_uncovered) >= 2")
    await house.shows(of_all)
    used = await client.post(f"/api/v1/models/{TWIN}/use")
    assert used.status_code == 200, used.text
    await house.shows(f'sum(whosthere_embeddings_total{{model="{TWIN}"}}) >= 3')
    assert (await client.post("/api/v1/models/auto/use")).status_code == 200
    assert (await client.delete(f"/api/v1/people/{made.json()['id']}")).status_code < 300


async def visitors(house: House, client: httpx.AsyncClient) -> None:
    """Somebody watches, somebody listens until their token is revoked, somebody has no token."""
    secret = (await asyncio.to_thread(house.service.run, "tokens", "make", "listener", "--role", "viewer")).strip()

    async def is_known() -> bool:
        return (await client.get("/docs", headers=bearer(secret))).status_code == 200

    await until(is_known)
    async with (
        viewing(house.url, "street", bearer(secret)),
        events(f"{house.url}/api/v1/events/live", bearer(secret)) as lines,
    ):
        await house.shows("sum(whosthere_http_listeners) >= 1")
        await house.shows('sum(whosthere_view_frames_total{camera="street", outcome="encoded"}) >= 5')
        await asyncio.to_thread(house.service.run, "tokens", "revoke", "listener")
        async for _ in lines:
            pass
    await house.shows("sum(whosthere_http_listeners_cut_total) >= 1")
    async with httpx.AsyncClient(base_url=house.url) as nobody:
        for _ in range(3):
            assert (await nobody.get("/api/v1/cameras")).status_code == 401
            await asyncio.sleep(1)
