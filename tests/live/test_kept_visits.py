"""Acceptance: a camera that keeps its visits, looked at with `events --since`; the service killed, its key taken, the
disk full, somebody forgotten while in view.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from recognition.image import ArrayImage
from recognition.recogniser import RecogniserConfig, open_recogniser
from tests.command import Ended, assert_refused, whosthere
from tests.faces import HEIGHT, KNOWN, NAME, STRANGERS, WIDTH, place_of, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.live

Visit = list[dict[str, Any]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def config(tmp_path: Path, broker: Mosquitto, data: str = "data", **events: Any) -> dict[str, Any]:
    """She and a stranger come and go, again and again, before a camera that keeps visits and one that keeps none."""
    film = write_film(tmp_path / "street.mp4", ([KNOWN, STRANGERS[0]], 2), ((), 2))
    street = {"url": str(film), "fps": 5, "loop": True}
    return {
        "paths": {"data": data, "keys": "keys"},
        "mqtt": {"port": broker.port},
        "cameras": {"street": street | {"snapshots": True}, "yard": street},
        "events": {"faces_to_settle": 1, "gone_after_s": 0.5} | events,
    }


def knowing_her(folder: Path, settings: dict[str, Any]) -> ServiceProcess:
    """A service, yet to start, that knows her when it first looks: no visit of hers begins as somebody unknown."""
    service = ServiceProcess(folder, settings)
    service.run("enrol", NAME, KNOWN.file)
    return service


def kept(service: ServiceProcess, *options: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.run("events", "--since", "1h", "--json", *options).splitlines()]


def by_visit(events: list[dict[str, Any]]) -> list[Visit]:
    visits: dict[str, Visit] = {}
    for event in events:
        visits.setdefault(event["event_id"], []).append(event)
    return list(visits.values())


def over(service: ServiceProcess, count: int) -> bool:
    """Whether so many visits that are over are in the file, by its rows: it is looked at often."""
    path = service.data / "visits.db"
    if not path.is_file():
        return False
    db = sqlite3.connect(path)
    try:
        (found,) = db.execute("SELECT count(*) FROM visits WHERE ended_at IS NOT NULL").fetchone()
    finally:
        db.close()
    return bool(found >= count)


def lines_with(service: ServiceProcess, code: str) -> list[str]:
    return [line["message"] for line in service.log() if line.get("code") == code]


async def test_what_was_seen_is_looked_at_afterwards(tmp_path, broker):
    with Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        with knowing_her(tmp_path, config(tmp_path, broker)) as service:
            await until(lambda: over(service, 2))
            assert await service.metric("whosthere_visits_kept_total") >= 2
            assert await service.metric("whosthere_visits_lost_total") == 0
            assert (await service.readiness())["kept visits"]
            running = by_visit(kept(service, "--pictures", tmp_path / "seen"))
            assert service.stop() == 0
        await heard.catch_up()
        told = {event["event_id"]: event for event in heard.events() if event["type"] == "end"}
        snapshots = [(event["camera"], event["person"], event["snapshot"]) for event in heard.events()]
    assert all(
        snapshot == (None if camera == "yard" or person is None else snapshot) for camera, person, snapshot in snapshots
    )
    assert {snapshot for _, _, snapshot in snapshots if snapshot} == {
        event["event_id"] for event in told.values() if event["camera"] == "street" and event["person"]
    }

    visits = by_visit(kept(service))
    assert len(visits) >= 2, "of the one whom it knows alone"
    assert_told_whole(visits)
    for visit in visits:
        assert {event["person"]["name"] for event in visit} == {NAME}
        assert {event["camera"] for event in visit} == {"street"}
        assert visit[-1]["captured_at"] == pytest.approx(told[visit[0]["event_id"]]["captured_at"], abs=0.01)
    await look_at_pictures(running)
    assert (service.data / "visits.db").stat().st_mode & 0o777 == 0o600
    for file in service.data.glob("visits.db*"):
        assert NAME.encode() not in file.read_bytes()
        assert b"\xff\xd8\xff" not in file.read_bytes(), "no JPEG in clear"

    # As people type it.
    lines = service.run("events", "--since", "1h", "--person", NAME.upper(), "--count", "1").splitlines()
    assert len(lines) == 1
    assert f" street new {NAME} similarity 0." in lines[0]
    assert kept(service, "--camera", "yard") == []
    assert kept(service, "--until", "30m") == []
    assert kept(service, "--person", visits[0][0]["person"]["id"]) != []
    assert_refused(command(service, "--person", "Nobody"), "person_not_found")
    assert_refused(command(service, "--camera", "strt"), "camera_unknown")
    assert command(service, "--until", "soon").code == 2
    assert whosthere("events", "--until", "1h", cwd=tmp_path).code == 2


async def look_at_pictures(visits: list[Visit]) -> None:
    """The face is hers, the scene the whole picture with her in it."""
    config = RecogniserConfig("nano_det", "nano_embed", ())
    async with open_recogniser(config) as recogniser:
        (known,) = (await recogniser.detect(KNOWN.image(), "test")).detections.landmarks
        wanted = (await recogniser.embed(KNOWN.image(), known[None], "test")).embeddings[0]
        for visit in visits[:2]:
            face, scene = (cv2.imread(visit[0]["pictures"][kind]) for kind in ("face", "scene"))
            assert face.shape == (256, 256, 3)
            assert scene.shape == (HEIGHT, WIDTH, 3)
            found = await recogniser.detect(ArrayImage(face), "test")
            seen = await recogniser.embed(ArrayImage(face), found.detections.landmarks[:1], "test")
            assert float(seen.embeddings[0] @ wanted) > 0.6
            whole = await recogniser.detect(ArrayImage(np.asarray(scene, np.uint8)), "test")
            assert {place_of(box) for box in whole.detections.boxes} >= {0}
            assert place_of(visit[0]["box"]) == 0


def command(service: ServiceProcess, *options: str) -> Ended:
    return whosthere(*service.command("events")[3:], "--since", "1h", *options, cwd=service.data.parent)


async def test_a_killed_service_leaves_visits_that_get_their_end(tmp_path, broker):
    settings = config(tmp_path, broker, keep_unknown_h=1.0)
    standing = write_film(tmp_path / "standing.mp4", ([KNOWN, STRANGERS[0]], 1))
    settings["cameras"] = {"street": {"url": str(standing), "fps": 5, "loop": True, "snapshots": True}}
    with knowing_her(tmp_path, settings) as service:

        def two_are_open() -> bool:
            path = service.data / "visits.db"
            if not path.is_file():
                return False
            db = sqlite3.connect(path)
            try:
                (found,) = db.execute("SELECT count(*) FROM visits WHERE ended_at IS NULL").fetchone()
            finally:
                db.close()
            return bool(found == 2)

        await until(two_are_open)
        service.kill()
        before = by_visit(kept(service))
        opened = {visit[0]["event_id"] for visit in before if visit[-1]["type"] != "end"}
        assert len(opened) == 2
        assert {visit[0]["person"] and visit[0]["person"]["name"] for visit in before} == {NAME, None}
        service.start()
        await service.until_ready("camera street")
        assert service.stop() == 0
        ends = {visit[0]["event_id"]: visit[-1] for visit in by_visit(kept(service))}
        assert {ends[one]["end_reason"] for one in opened} == {"interrupted"}
        with_pictures = {visit[0]["event_id"]: visit for visit in by_visit(kept(service, "--pictures", tmp_path / "p"))}
        assert all("pictures" in with_pictures[one][0] for one in opened), "written while they went on"
    assert "Traceback" not in service.log_file.read_text()


async def test_a_wrong_key_is_told_and_events_go_on(tmp_path, broker):
    settings = config(tmp_path, broker)
    with ServiceProcess(tmp_path, settings) as service:
        service.run("enrol", NAME, KNOWN.file)
        await until(lambda: over(service, 1))
        assert service.stop() == 0
        db = sqlite3.connect(service.data / "visits.db")
        db.execute("UPDATE meta SET value = '0123456789abcdef' WHERE key = 'key_id'")
        db.commit()
        db.close()
        before = (service.data / "visits.db").read_bytes()
        with Subscriber(broker.port, tmp_path) as heard:
            service.start()
            await service.until_ready("camera street", "broker")
            await until(lambda: any(event["person"] for event in heard.events("street")))
            assert {event["snapshot"] for event in heard.events("street")} == {None}

            async def told() -> bool:
                return "0123456789abcdef" in ((await service.parts())["kept visits"]["reason"] or "")

            await until(told)
            await service.until_metric("whosthere_visits_lost_total", lambda lost: lost >= 1)
            assert service.stop() == 0
        assert (service.data / "visits.db").read_bytes() == before
        assert len(lines_with(service, "master_key_wrong")) == 1
        assert_refused(command(service), "master_key_wrong")
    assert "Traceback" not in service.log_file.read_text()


async def test_a_full_disk_costs_kept_visits_and_no_event(tmp_path, broker):
    with small_disk(12) as disk, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        with ServiceProcess(tmp_path, config(tmp_path, broker, data=str(disk))) as service:
            service.data = disk
            service.run("enrol", NAME, KNOWN.file)
            await until(lambda: over(service, 1))
            hog = fill(disk)

            async def told() -> bool:
                return not (await service.readiness())["kept visits"]

            await until(told)
            ends = sum(event["type"] == "end" for event in heard.events("street"))
            await until(lambda: sum(event["type"] == "end" for event in heard.events("street")) >= ends + 4)
            hog.unlink()
            await service.until_ready("kept visits")
            count = len(by_visit(kept(service)))
            await until(lambda: over(service, count + 1))
            assert service.stop() == 0
        assert len(lines_with(service, "kept_visits_unwritable")) == 1
        await heard.catch_up()
        assert_told_whole(heard.visits("street"))
    assert "Traceback" not in service.log_file.read_text()


async def test_nothing_stays_of_who_is_forgotten_while_in_view(tmp_path, broker):
    film = write_film(tmp_path / "standing.mp4", ([KNOWN], 1))
    settings = config(tmp_path, broker, keep_unknown_h=2.0)
    settings["cameras"] = {"street": {"url": str(film), "fps": 5, "loop": True, "snapshots": True}}
    with Subscriber(broker.port, tmp_path) as heard, knowing_her(tmp_path, settings) as service:
        await until(lambda: any(event["snapshot"] and event["person"] for event in heard.events()))
        (person,) = json.loads(service.run("people", "list", "--json"))["people"]
        await until(lambda: bool(kept(service)))
        (visit,) = by_visit(kept(service))
        service.run("people", "forget", NAME, "--yes")
        await until(lambda: heard.events()[-1]["person"] is None)
        assert heard.events()[-1]["snapshot"] is None

        def erased() -> bool:
            found = b"".join(file.read_bytes() for file in service.data.glob("visits.db*"))
            return person["id"].encode() not in found and visit[0]["event_id"].encode() not in found

        await until(erased)
        assert service.stop() == 0
        assert kept(service) == []
        assert erased()
