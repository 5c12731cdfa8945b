"""People enrolled from what a running service sees: from a camera that it watches as well, and from a visit it kept."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber

pytestmark = pytest.mark.live

STRANGER = "Somebody New"


def is_kept(data: Path, event_id: str) -> bool:
    """With its pictures."""
    if not (data / "visits.db").is_file():
        return False
    with closing(sqlite3.connect(data / "visits.db")) as db:
        return bool(db.execute("SELECT count(*) FROM pictures WHERE event_id = ?", (event_id,)).fetchone()[0])


async def test_who_is_seen_is_enrolled_from_the_camera_or_the_visit_and_named(tmp_path: Path) -> None:
    alone = {
        name: write_film(tmp_path / f"{name}.mp4", ([who], 2))
        for name, who in (("door", KNOWN), ("yard", STRANGERS[0]))
    }
    with (
        RtspServer(unused_port(), {"door": alone["door"]}) as cameras,
        Mosquitto(tmp_path) as broker,
        Subscriber(broker.port, tmp_path) as heard,
    ):
        await heard.catch_up()
        config = {
            "paths": {"data": "data", "keys": "keys"},
            "mqtt": {"port": broker.port},
            "events": {"keep_unknown_h": 1},
            "cameras": {
                "door": {"url": cameras.url("door"), "fps": 5},
                "yard": {"url": str(alone["yard"]), "fps": 5, "loop": True, "snapshots": True},
            },
        }
        with ServiceProcess(tmp_path, config) as service:
            await until(lambda: heard.events("door") and heard.events("yard"))
            assert {event["person"] for event in (*heard.events("door"), *heard.events("yard"))} == {None}

            told = orjson.loads(service.run("enrol", NAME, "--from-camera", "door", "--seconds", "3", "--json"))
            assert (len(told["taken"]), told["refused"]) == (1, [])
            assert told["left_out"], "she hardly moves: most pictures are nearly the same"

            seen = heard.events("yard")[0]["event_id"]
            await until(lambda: is_kept(service.data, seen), 30.0)
            told = orjson.loads(service.run("enrol", STRANGER, "--from-visit", seen, "--json"))
            assert told["taken"][0]["image"] == f"{seen}, its picture"

            for camera, name in (("door", NAME), ("yard", STRANGER)):
                await until(lambda camera=camera: heard.events(camera)[-1]["person"] is not None)
                assert heard.events(camera)[-1]["person"]["name"] == name
            assert service.stop() == 0
