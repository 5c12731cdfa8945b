"""/api/v1/service of a running service: how it fares, and its audit log for admins, page by page."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from streamer import __version__
from streamer.ingest.decode_gate.habits import Watch
from streamer.process import store_of
from tests.faces import KNOWN, write_film
from tests.live.service import until
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.running import running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path, {"door": {"url": "rtsp://192.0.2.9/", "enabled": False}}) as (service, api):
        api.service = service
        yield api


async def test_how_it_fares(api):
    answer = await api.ask("GET", "/api/v1/service", "viewer")
    assert answer.status_code == 200
    status = answer.json()
    ready = await api.client.get("/readyz")
    assert (status["ready"], ready.status_code) == (False, 503)  # nobody serves a broker
    assert set(status["parts"]) == set(ready.json()["parts"])
    assert status["parts"]["broker"]["ok"] is False
    assert status["version"] == __version__
    assert status["uptime_s"] >= 0
    assert status["queues"] == {"nano_det": 0, "nano_embed": 0}
    assert (status["models"]["detector"], status["models"]["embedder"]) == ("nano_det", "nano_embed")
    assert (status["people"], status["outbox"]["waiting"], status["triton"]) == (0, 0, None)
    assert (status["models"]["chosen"], status["models"]["device"]) == (None, "cpu")
    assert status["models"]["why"]
    assert (status["cameras"], status["watched"], status["latency"]) == ({"door": "disabled"}, {}, {})
    (door,) = api.service.cameras
    door.watched = Watch("keyframes", "sizes_unknown")
    watched = (await api.ask("GET", "/api/v1/service", "viewer")).json()["watched"]["door"]
    assert (watched["way"], watched["reason"]) == ("keyframes", "sizes_unknown")
    assert watched["words"].startswith("while nothing moves, its keyframes alone are decoded")
    alive = (await api.client.get("/healthz")).json()
    assert alive == {"status": "alive", "triton": None, "rerank": {"ok": True, "reason": None}}


async def test_how_soon_pictures_are_looked_at(tmp_path):
    """Of a clip from when each picture is due; of one that is played as fast as it goes nothing is due."""
    film = str(write_film(tmp_path / "film.mp4", ([KNOWN], 1), ((), 0.5)))
    cameras = {
        "door": {"url": film, "fps": 10, "loop": True},
        "batch": {"url": film, "pace": "fastest"},
        "away": {"url": str(tmp_path / "none.mp4")},
    }
    async with running(tmp_path, cameras) as (_, api):

        async def told() -> dict[str, dict[str, Any]]:
            return (await api.ask("GET", "/api/v1/service", "viewer")).json()["latency"]

        async def seen() -> bool:
            found = await told()
            door, batch = found["door"], found["batch"]
            return door["looked_at"] >= 5 and door["within_s"] >= 1 and batch["looked_at"] > 0

        await until(seen, 60)
        found = await told()
        door, batch = found["door"], found["batch"]
        assert 0 < door["p50_ms"] <= door["p95_ms"] < 60_000
        assert door["looked_at_per_s"] == pytest.approx(door["looked_at"] / door["within_s"], rel=0.15)
        assert (door["dropped"] >= 0, door["last_picture_s"] >= 0) == (True, True)
        assert (batch["p50_ms"], batch["p95_ms"], batch["dropped"]) == (None, None, 0)
        assert found["away"] == dict.fromkeys(batch, None) | {"within_s": 0.0, "looked_at": 0, "dropped": 0}


def enrol(api, *names: str) -> list[str]:
    with store_of(api.service.settings, actor="somebody") as store:
        return [store.add_person(name).id for name in names]


async def test_the_audit_log_page_by_page(api):
    ada, grace = enrol(api, "Ada Lovelace", "Grace Hopper")
    told, after = [], ""
    while after is not None:
        answer = await api.ask("GET", f"/api/v1/service/audit?limit=2{after and f'&after={after}'}")
        assert answer.status_code == 200
        told += answer.json()["entries"]
        after = answer.json()["next"]
    assert [entry["id"] for entry in told] == list(range(1, len(told) + 1))
    assert [entry["person_id"] for entry in told if entry["actor"] == "somebody"] == [ada, grace]
    assert "Lovelace" not in str(told)

    for who in (ada, "Ada Lovelace", ada.upper()):
        about = await api.ask("GET", "/api/v1/service/audit", params={"person": who})
        assert {entry["person_id"] for entry in about.json()["entries"]} == {ada}
    nobody = await api.ask("GET", "/api/v1/service/audit?person=Nobody")
    assert refusal(nobody) == (404, "person_not_found")


async def test_what_is_refused_of_the_audit_log(api):
    """A cursor that is none; whoever is no admin."""
    for cursor in ("x", "W10", "WyJhIl0", "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd", "Wy0xXQ"):
        answer = await api.ask("GET", f"/api/v1/service/audit?after={cursor}")
        assert refusal(answer) == (400, "cursor_invalid"), cursor
    for role in ("viewer", "operator"):
        for path in ("audit", "audit/check"):
            assert refusal(await api.ask("GET", f"/api/v1/service/{path}", role)) == (403, "role_too_low"), (role, path)


async def test_whether_the_log_is_whole(api):
    enrol(api, "Ada Lovelace")
    answer = await api.ask("GET", "/api/v1/service/audit/check")
    assert answer.json() == {"whole": True, "broken_at": None}
    with closing(sqlite3.connect(api.service.settings.gallery_path)) as db, db:
        (number,) = db.execute("SELECT max(id) FROM audit").fetchone()
        db.execute("DROP TRIGGER audit_is_not_changed")
        db.execute("UPDATE audit SET actor = 'nobody' WHERE id = ?", (number,))
    broken = await api.ask("GET", "/api/v1/service/audit/check")
    assert broken.json() == {"whole": False, "broken_at": number}
