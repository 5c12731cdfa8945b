"""Somebody is forgotten while the service watches, the broker is away, or nobody serves: nothing comes back."""

import json
from pathlib import Path

import pytest

from tests.faces import KNOWN, write_film
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber

pytestmark = pytest.mark.live

WHO = "Zebedee Unmistakable-Ünïque"


def house(folder: Path, port: int, **gallery: object) -> ServiceProcess:
    clip = write_film(folder / "standing.mp4", ([KNOWN], 1))
    door = {"url": str(clip), "fps": 10, "loop": True, "snapshots": True}
    config = {"paths": {"data": "data"}, "cameras": {"door": door}, "mqtt": {"port": port}, "gallery": gallery}
    return ServiceProcess(folder, config)


def enrolled(service: ServiceProcess) -> str:
    service.run("enrol", WHO, KNOWN.file)
    (person,) = json.loads(service.run("people", "list", "--json"))["people"]
    return str(person["id"])


def files_with(folder: Path, *needles: str) -> list[str]:
    """But the gallery, whose list of the forgotten and audit log hold ids."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith("gallery.db")]
    return [file.name for file in files if any(needle.encode() in file.read_bytes() for needle in needles)]


def gallery_with(folder: Path, needle: str) -> list[str]:
    return [file.name for file in sorted(folder.glob("gallery.db*")) if needle.encode() in file.read_bytes()]


@pytest.mark.parametrize(
    "encryption", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["encrypted", "plain"]
)
async def test_who_is_forgotten_in_view_while_the_broker_is_away_leaves_nothing(tmp_path, broker, encryption):
    service = house(tmp_path, broker.port, encryption=encryption)
    await Subscriber.awaited(broker.port, tmp_path)
    with service, Subscriber(broker.port, tmp_path) as heard:
        await service.until_ready()
        person_id = enrolled(service)
        mine = [f"whosthere/people/{person_id}/{leaf}" for leaf in ("last_seen", "present")]
        await until(lambda: heard.retained("whosthere/people/#").keys() >= set(mine))
        await until(lambda: "visits.db" in " ".join(files_with(service.data, person_id)))
        broker.stop()
        # She comes again and again to a door whose stream begins anew: what is told of it waits.
        service.run("cameras", "disable", "door")
        service.run("cameras", "enable", "door")
        await until(lambda: {"outbox.db", "outbox.db-wal"} & set(files_with(service.data, person_id)))

        told = json.loads(service.run("people", "forget", WHO, "--yes", "--json"))
        assert told["forgotten"] == person_id
        assert [(left["where"], left["done_by"]) for left in told["left"]] == [("retained MQTT topics", "service")]
        steps = ["keys", "visits", "outbox", "topics", "classifiers", "files", "search"]
        assert [step["step"] for step in told["steps"]] == steps
        assert files_with(service.data, person_id, WHO) == []
        assert gallery_with(service.data, WHO) == []

        before = len(heard.messages())
        broker.start()
        await until(lambda: not heard.retained("whosthere/people/#"))
        await heard.catch_up()
        # What it retained before it hears again as it subscribes anew.
        since = [m for m in heard.messages()[before:] if "/identity/" in m.topic]
        assert [m for m in since if person_id in f"{m}" or WHO in f"{m}"] == []
        await until(lambda: json.loads(heard.retained("whosthere/cameras/door/present").popitem()[1])["unknown"])
        assert (await service.readiness())["outbox"]
        assert service.stop() == 0
        assert files_with(service.data, person_id, WHO) == []
        assert person_id not in json.dumps(heard.retained("whosthere/#"))


async def test_who_is_forgotten_while_nobody_serves_and_the_broker_is_away_is_erased_at_the_start(tmp_path, broker):
    service = house(tmp_path, broker.port)
    with Subscriber(broker.port, tmp_path) as heard:
        with service:
            await service.until_ready()
            person_id = enrolled(service)
            await until(lambda: len(heard.retained("whosthere/people/#")) == 2)
            service.kill()  # presence and last sighting stay retained, and the visit is open
        broker.stop()
        told = json.loads(service.run("people", "forget", WHO, "--yes", "--json"))
        assert [left["done_by"] for left in told["left"]] == ["service"]
        assert files_with(service.data, person_id, WHO) == []
        broker.start()
        assert len(heard.retained("whosthere/people/#")) == 2
        before = len(heard.messages())
        with service:
            await until(lambda: not heard.retained("whosthere/people/#"))
            await service.until_ready("broker")
            await heard.catch_up()
            since = [m for m in heard.messages()[before:] if "/identity/" in m.topic]
            assert [m for m in since if person_id in f"{m}"] == []
            assert service.stop() == 0


async def test_without_a_service_the_command_empties_the_topics_itself(tmp_path, broker):
    service = house(tmp_path, broker.port)
    with Subscriber(broker.port, tmp_path) as heard:
        with service:
            await service.until_ready()
            person_id = enrolled(service)
            await until(lambda: len(heard.retained("whosthere/people/#")) == 2)
            service.kill()
        assert person_id in json.dumps(heard.retained("whosthere/#"))
        told = json.loads(service.run("people", "forget", person_id, "--yes", "--json"))
        assert (told["complete"], told["left"]) == (True, [])
        assert person_id not in json.dumps(heard.retained("whosthere/#"))
        assert WHO not in json.dumps(heard.retained("whosthere/#"), ensure_ascii=False)
        assert files_with(service.data, person_id, WHO) == []
        again = json.loads(service.run("people", "forget", person_id, "--yes", "--json"))
        assert again["complete"] is True
