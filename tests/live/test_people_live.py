"""Who is in view is judged anew at once when somebody says who it is not, or that two people are one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faces import KNOWN, STRANGERS, write_film, write_photo
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber

pytestmark = pytest.mark.live


def house(folder: Path, port: int) -> ServiceProcess:
    """She stands at a door that keeps its visits."""
    clip = write_film(folder / "standing.mp4", ([KNOWN], 1))
    door = {"url": str(clip), "fps": 10, "loop": True, "snapshots": True}
    return ServiceProcess(folder, {"paths": {"data": "data"}, "cameras": {"door": door}, "mqtt": {"port": port}})


def enrolled(service: ServiceProcess, name: str, photo: Path) -> str:
    return str(json.loads(service.run("enrol", name, photo, "--json"))["person"]["id"])


def kept(service: ServiceProcess, who: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in service.run("events", "--since", "1h", "--json", "--person", who).splitlines()]


def names_in(event: dict[str, Any]) -> tuple[str | None, str | None]:
    now, before = ((event[key] or {}).get("id") for key in ("person", "previous_person"))
    return now, before


async def test_a_face_that_is_not_hers_loses_the_name_at_once_and_has_it_again_when_that_is_taken_back(
    tmp_path, broker
):
    service = house(tmp_path, broker.port)
    await Subscriber.awaited(broker.port, tmp_path)
    who = enrolled(service, "Taken For", KNOWN.file)
    other = enrolled(service, "Nobody There", write_photo(tmp_path / "other.png", STRANGERS[0]))
    with service, Subscriber(broker.port, tmp_path) as heard:
        await service.until_ready()
        await until(lambda: [e for e in heard.events() if names_in(e)[0] == who])
        (visit,) = {event["event_id"] for event in heard.events() if names_in(event)[0] == who}
        await until(lambda: kept(service, who))
        said = json.loads(service.run("people", "not", who, visit, "--json"))["negatives"]
        assert [one["source"] for one in said] == [f"event {visit}"]
        await until(lambda: names_in(heard.events()[-1]) == (None, who))
        assert heard.events()[-1]["event_id"] == visit
        await until(lambda: not json.loads(heard.retained(f"whosthere/people/{who}/present").popitem()[1])["present"])
        service.run("people", "not", who, visit, "--undo")
        await until(lambda: names_in(heard.events()[-1])[0] == who)
        assert other not in {names_in(event)[0] for event in heard.events()}
        assert service.stop() == 0


async def test_who_is_merged_in_view_goes_on_as_the_other_and_nothing_is_lost(tmp_path, broker):
    service = house(tmp_path, broker.port)
    await Subscriber.awaited(broker.port, tmp_path)
    old = enrolled(service, "Ada B.", KNOWN.file)
    new = enrolled(service, "Ada Lovelace", write_photo(tmp_path / "other.png", STRANGERS[0]))
    with service, Subscriber(broker.port, tmp_path) as heard:
        await service.until_ready()
        await until(lambda: len(heard.retained(f"whosthere/people/{old}/#")) == 2)
        await until(lambda: kept(service, old))
        done = json.loads(service.run("people", "merge", old, new, "--yes", "--json"))
        assert (done["merged"], done["id"], done["photos"], done["left"]) == (old, new, 2, [])
        assert heard.retained(f"whosthere/people/{old}/#") == {}
        await until(lambda: names_in(heard.events()[-1]) == (new, old))
        visit = heard.events()[-1]["event_id"]
        await until(lambda: json.loads(heard.retained(f"whosthere/people/{new}/present").popitem()[1])["present"])
        (present,) = heard.retained("whosthere/cameras/door/present").values()
        assert [person["id"] for person in json.loads(present)["people"]] == [new]
        await until(lambda: names_in(kept(service, "ada lovelace")[-1]) == (new, old))
        assert await service.metric("whosthere_visits_lost_total") == 0
        assert service.stop() == 0
        found = kept(service, new)
        assert {event["event_id"] for event in found} == {visit}
        assert {who for event in found for who in names_in(event)} == {old, new, None}
        assert {event["person"]["name"] for event in found} == {"Ada Lovelace"}
        assert old not in json.dumps(heard.retained("whosthere/people/#"))
        assert [event["seq"] for event in heard.visits()[-1]] == list(range(1, len(heard.visits()[-1]) + 1))


async def test_who_was_merged_while_nobody_served_and_the_broker_was_away_has_no_topic_left_at_the_start(
    tmp_path, broker
):
    service = house(tmp_path, broker.port)
    old = enrolled(service, "Ada B.", KNOWN.file)
    new = enrolled(service, "Ada Lovelace", write_photo(tmp_path / "other.png", STRANGERS[0]))
    with Subscriber(broker.port, tmp_path) as heard:
        with service:
            await until(lambda: len(heard.retained(f"whosthere/people/{old}/#")) == 2)
            assert service.stop() == 0
        broker.stop()
        done = json.loads(service.run("people", "merge", old, new, "--yes", "--json"))
        assert [(left["where"], left["done_by"]) for left in done["left"]] == [("retained MQTT topics", "service")]
        broker.start()
        with service:
            await until(lambda: not heard.retained(f"whosthere/people/{old}/#"))
            await until(lambda: len(heard.retained(f"whosthere/people/{new}/#")) == 2)
            assert service.stop() == 0
        assert old not in json.dumps(heard.retained("whosthere/#"))
    assert old.encode() not in (service.data / "outbox.db").read_bytes()
