"""Somebody is enrolled, seen, changed and forgotten over HTTP while the service watches, with a real broker."""

import json
from pathlib import Path

import httpx
import pytest

from tests.faces import KNOWN, STRANGERS, write_film, write_photo
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber
from tests.live.test_erase_live import files_with
from tests.streamer.access.keys import bearer

pytestmark = pytest.mark.live

WHO = "Zebedee Unmistakable-Ünïque"
PEOPLE = "/api/v1/people"


def house(folder: Path, port: int) -> ServiceProcess:
    clip = write_film(folder / "standing.mp4", ([KNOWN], 1))
    door = {"url": str(clip), "fps": 10, "loop": True, "snapshots": True}
    return ServiceProcess(folder, {"paths": {"data": "data"}, "cameras": {"door": door}, "mqtt": {"port": port}})


async def test_from_enrolment_to_erasure(tmp_path, broker):
    service = house(tmp_path, broker.port)
    await Subscriber.awaited(broker.port, tmp_path)
    with service, Subscriber(broker.port, tmp_path) as heard:
        await service.until_ready()
        made = json.loads(service.run("tokens", "make", "the desk", "--role", "operator", "--json"))
        async with httpx.AsyncClient(base_url=service.http or "", headers=bearer(made["token"]), timeout=60) as api:

            async def is_let_in() -> bool:
                return (await api.get(PEOPLE)).status_code == 200

            await until(is_let_in)
            key = {"Idempotency-Key": "enrolment-1"}
            photo = KNOWN.file.read_bytes()
            sent = [
                await api.post(PEOPLE, data={"name": WHO}, files={"images": ("1.jpg", photo)}, headers=key)
                for _ in range(2)
            ]
            assert [answer.status_code for answer in sent] == [201, 201]
            assert sent[0].content == sent[1].content
            person_id = sent[0].json()["id"]
            mine = [f"whosthere/people/{person_id}/{leaf}" for leaf in ("last_seen", "present")]
            await until(lambda: heard.retained("whosthere/people/#").keys() >= set(mine))
            await until(lambda: "visits.db" in " ".join(files_with(service.data, person_id)))

            both = write_photo(tmp_path / "both.png", STRANGERS[0], KNOWN).read_bytes()
            found = (await api.post("/api/v1/identify", files={"images": ("both.png", both)})).json()["images"][0]
            assert {face["decision"]: face["person"] for face in found["faces"]} == {
                "known": {"id": person_id, "name": WHO},
                "unknown": None,
            }
            report = (await api.delete(f"{PEOPLE}/{person_id}")).json()
            assert (report["forgotten"], report["left"], report["complete"]) == (person_id, [], True)
            assert files_with(service.data, person_id, WHO) == []
            assert not heard.retained(f"whosthere/people/{person_id}/#")
            again = await api.post(PEOPLE, data={"name": WHO}, files={"images": ("1.jpg", photo)}, headers=key)
            assert again.json()["id"] != person_id  # of the first answer nothing is held any more
        assert service.run("people", "list", "--json").count(WHO) == 1
        log = json.loads(service.run("gallery", "audit", "--json"))
        assert {entry["actor"] for entry in log["entries"] if entry["action"] in ("enrolled", "forgotten")} == {
            "the desk"
        }
