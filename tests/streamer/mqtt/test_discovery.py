"""Home Assistant told of what there is, by a publisher on a broker in this process; a subscriber stands in for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client, MqttError

from streamer.errors import BrokerLost
from streamer.events.outbox import Outbox
from streamer.mqtt import discovery
from streamer.mqtt.client import BrokerClient
from streamer.mqtt.embedded_broker import embedded_broker
from streamer.mqtt.home_assistant.ledger import Ledger, read_ledger
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.sender import Sender
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.live.service import until
from tests.streamer.listener import Heard, listening
from tests.streamer.messages import ADA, BOB, due, event_id

MAIN, DOOR = "whosthere_main", "whosthere_cam_door"
HERS, HIS = (f"whosthere_person_{one}" for one in (ADA, BOB))


def config(key: str) -> str:
    return f"homeassistant/device/{key}/config"


async def connecting_again(publisher: Publisher) -> None:
    while True:
        with suppress(BrokerLost):
            return await publisher.run()


class Home:
    """A broker, somebody who hears all of it, and publishers one after the other on one data folder."""

    def __init__(self, port: int, heard: Heard, folder: Path) -> None:
        self.port, self.heard, self.folder = port, heard, folder
        self.names = {ADA: "Ada Lovelace", BOB: "Bob"}
        self.ignored: set[str] = set()
        self.metrics = Metrics()
        self.options: dict[str, Any] = {"enabled": True}
        self.list = folder / "home-assistant.json"

    @asynccontextmanager
    async def publishing(self, *cameras: str, forgotten: tuple[str, ...] = (), **mqtt: Any) -> AsyncIterator[Publisher]:
        settings = MqttSettings(port=self.port, home_assistant=self.options, **mqtt)
        self.metrics = Metrics()
        self.outbox = Outbox(self.folder / "outbox.db", limit=1000, max_age_s=1e9, metrics=self.metrics)
        async with self.outbox, asyncio.TaskGroup() as tasks:
            publisher = Publisher(
                settings,
                self.outbox,
                self.names.get,
                self.metrics,
                person_ids=lambda: list(self.names),
                is_ignored=self.ignored.__contains__,
                ledger=read_ledger(self.list),
            )
            for camera in cameras or ("door",):
                publisher.add_camera(camera)
                publisher.set_camera_status(camera, "online")
            publisher.forget(forgotten, earlier=True)
            tasks.create_task(connecting_again(publisher))
            await until(lambda: publisher.connected)
            yield publisher
            await publisher.stop()

    async def say(self, topic: str, payload: str, *, retain: bool = False) -> None:
        async with Client("127.0.0.1", self.port) as client:
            await client.publish(topic, payload, qos=1, retain=retain)

    def configs(self, since: int = 0) -> list[tuple[str, bytes]]:
        """Discovery messages in order, by device."""
        return [
            (topic.split("/")[2], payload)
            for topic, payload, _ in self.heard.messages[since:]
            if topic.startswith("homeassistant/device/")
        ]

    def told(self, key: str) -> list[bytes]:
        return self.heard.on(config(key))

    def sample(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"whosthere_home_assistant_{name}")


@pytest.fixture
async def home(tmp_path, monkeypatch) -> AsyncIterator[Home]:
    monkeypatch.setattr(discovery, "SETTLE_S", 0.05)
    async with embedded_broker() as port, listening(port) as heard:
        yield Home(port, heard, tmp_path)


async def test_everything_is_told_in_order_and_before_what_they_say(home):
    async with home.publishing():
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{BOB}/present"))
    assert [key for key, _ in home.configs()] == [MAIN, DOOR, HERS, HIS]
    topics = [topic for topic, _, _ in home.heard.messages]
    assert topics.index(config(HIS)) < topics.index("whosthere/cameras/door/status")
    assert json.loads(home.told(HERS)[0])["dev"]["name"] == "Ada Lovelace"
    async with listening(home.port, "homeassistant/#") as late:
        await late.until(lambda: len(late.messages) == 4)
    assert all(retained for *_, retained in late.messages)


async def test_off_as_it_is_nothing_is_told_or_written(home):
    home.options = {"enabled": False}
    async with home.publishing():
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{BOB}/present"))
        await home.say("homeassistant/status", "online")
    assert home.configs() == []
    assert not home.list.exists()


async def test_people_who_are_ignored_or_not_wanted_are_no_devices(home):
    home.ignored = {BOB}
    async with home.publishing():
        await home.heard.until(lambda: home.told(HERS))
    assert home.told(HIS) == []
    home.options = {"enabled": True, "people": False}
    async with home.publishing():
        await home.heard.until(lambda: home.told(HERS)[-1] == b"")


async def test_a_rename_is_told_in_place_and_no_names_where_none_are_wanted(home):
    async with home.publishing() as publisher:
        await home.heard.until(lambda: home.told(HIS))
        home.names[ADA] = "Countess"
        publisher.gallery_changed([])
        await home.heard.until(lambda: len(home.told(HERS)) == 2)
        assert json.loads(home.told(HERS)[-1])["dev"]["name"] == "Countess"
        assert len(home.told(HIS)) == 1
    async with home.publishing(publish_names=False):
        await home.heard.until(lambda: len(home.told(HERS)) == 3)
    assert [json.loads(home.told(one)[-1])["dev"]["name"] for one in (HERS, HIS)] == [ADA, BOB]
    assert b"" not in home.told(HERS)


async def test_who_is_gone_is_told_before_their_topics_are_emptied(home):
    present = f"whosthere/people/{ADA}/present"
    async with home.publishing("door", "hall") as publisher:
        await home.heard.until(lambda: home.heard.on(present))
        del home.names[ADA]
        publisher.forget(home.outbox.forget([ADA]))
        publisher.gallery_changed([ADA])
        publisher.remove_camera("hall")
        await home.heard.until(lambda: home.heard.on(present)[-1] == b"")
        await home.heard.until(lambda: home.heard.on("whosthere/cameras/hall/status")[-1] == b"")
    order = [(topic, payload) for topic, payload, _ in home.heard.messages]
    assert order.index((config(HERS), b"")) < order.index((present, b""))
    assert order.index((config("whosthere_cam_hall"), b"")) < order.index(("whosthere/cameras/hall/status", b""))
    assert ADA in home.list.read_text()
    assert "Ada" not in home.list.read_text()


async def test_who_is_enrolled_again_at_once_keeps_what_is_told_of_them(home):
    present = f"whosthere/people/{BOB}/present"
    async with home.publishing() as publisher:
        await home.heard.until(lambda: home.heard.on(present))
        told = len(home.heard.on(present))
        name = home.names.pop(BOB)
        publisher.gallery_changed([BOB])
        home.names[BOB] = name
        publisher.gallery_changed([])
        await home.heard.until(lambda: len(home.heard.on(present)) > told)
    assert b"" not in home.heard.on(present)


async def test_pictures_turn_grey_at_a_start_only_for_who_was_forgotten_since_the_last_run(home):
    home.options = {"enabled": True, "pictures": "known"}
    face, present = "whosthere/cameras/door/last_face", f"whosthere/people/{BOB}/present"
    async with home.publishing() as publisher:
        await home.heard.until(lambda: home.heard.on(present))
        del home.names[ADA]
        publisher.forget([ADA])
        publisher.gallery_changed([])
        await home.heard.until(lambda: home.told(HERS)[-1] == b"" and home.heard.on(face))
    async with home.publishing(forgotten=(ADA, "pneverhere000")):
        home.outbox.put(due("b1n", person=BOB))
        await home.heard.until(home.heard.events)  # which waits for Home Assistant as pictures do
    assert len(home.heard.on(face)) == 1
    del home.names[BOB]
    async with home.publishing(forgotten=(ADA, BOB)):
        await home.heard.until(lambda: len(home.heard.on(face)) == 2)


async def nothing_more(home):
    """Until what belongs to the start, or to the birth before, is over."""
    heard = -1
    while heard < len(home.heard.messages):
        heard = len(home.heard.messages)
        await asyncio.sleep(0.3)


async def test_a_birth_has_everything_told_again_states_too(home):
    async with home.publishing():
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{BOB}/present"))
        await until(lambda: home.sample("devices") == 4)
        states = ("whosthere/available", "whosthere/cameras/door/status", f"whosthere/people/{BOB}/present")
        await home.heard.until(lambda: all(map(home.heard.on, (config(HIS), *states))))
        await nothing_more(home)
        since = len(home.heard.messages)
        await home.say("homeassistant/status", "online")
        await home.heard.until(lambda: {topic for topic, _, _ in home.heard.messages[since:]} >= {config(HIS), *states})
        await until(lambda: home.sample("births_total") == 1)
        assert [key for key, payload in home.configs(since) if payload] == [MAIN, DOOR, HERS, HIS]
        topics = [topic for topic, _, _ in home.heard.messages[since:]]
        assert topics.index(config(HIS)) < topics.index("whosthere/available") < topics.index(states[1])


@pytest.mark.parametrize(("payload", "retain"), [("offline", False), ("online", True), ("", False), ("ONLINE", False)])
async def test_nothing_else_on_that_topic_is_a_birth(home, payload, retain):
    if retain:
        await home.say("homeassistant/status", payload, retain=True)
    async with home.publishing():
        await home.heard.until(lambda: home.told(HIS))
        if not retain:
            await home.say("homeassistant/status", payload)
            await home.heard.until(lambda: home.heard.on("homeassistant/status"))
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{BOB}/present"))
        assert home.sample("births_total") == 0


async def test_what_is_removed_is_told_once_more_at_each_birth_without_a_name(home):
    async with home.publishing():
        await home.heard.until(lambda: home.told(HIS))
    del home.names[ADA]  # while nobody serves
    async with home.publishing("hall"):
        await home.heard.until(lambda: home.told(HERS)[-1] == home.told(DOOR)[-1] == b"")
        await until(lambda: home.sample("devices") == 3)
        for birth in (1, 2):
            await nothing_more(home)
            since = len(home.heard.messages)
            await home.say("homeassistant/status", "online")
            await until(lambda birth=birth: [r.replayed for r in Ledger.read(home.list).tombstones] == [birth] * 2)
            for key in (HERS, DOOR):
                await home.heard.until(lambda key=key, since=since: (key, b"") in home.configs(since))
                told = [payload for one, payload in home.configs(since) if one == key]
                assert len(told) >= 2
                before, after = told[-2:]
                assert after == b""
                document = json.loads(before)
                assert document["dev"] == {"ids": [key], "name": key}
                assert all(one["uniq_id"].startswith(key) for one in document["cmps"].values())
            assert not any(b"Lovelace" in payload for _, payload in home.configs(since))
    async with listening(home.port, "homeassistant/#") as late:
        await late.until(lambda: len(late.messages) == 3)
    assert {topic for topic, _, _ in late.messages} == {config(MAIN), config("whosthere_cam_hall"), config(HIS)}


async def test_a_removal_that_was_broken_off_is_owed_at_the_next_connection(home, monkeypatch):
    async with home.publishing():
        await home.heard.until(lambda: home.told(HERS))
    del home.names[ADA]  # while nobody serves
    async with home.publishing():
        await home.heard.until(lambda: home.told(HERS)[-1] == b"")
        await home.say("homeassistant/status", "online")
        await until(lambda: [row.replayed for row in Ledger.read(home.list).tombstones] == [1])
        breaks, send = [config(HERS)], Sender.send

        async def break_off(self: Sender, topic: str, payload: bytes | str, **more: Any) -> bool:
            if not payload and topic in breaks:
                breaks.remove(topic)
                raise MqttError("the connection is lost")
            return await send(self, topic, payload, **more)

        monkeypatch.setattr(Sender, "send", break_off)
        before = len(home.told(HERS))
        await home.say("homeassistant/status", "online")
        await home.heard.until(lambda: len(home.told(HERS)) >= before + 3)
        assert [payload == b"" for payload in home.told(HERS)[before:][-2:]] == [False, True]
        assert not breaks


async def test_a_component_that_is_not_wanted_any_more_is_removed(home):
    home.options = {"enabled": True, "trackers": True}
    async with home.publishing():
        await home.heard.until(lambda: home.told(HERS))
    home.options = {"enabled": True}
    async with home.publishing():
        await home.heard.until(lambda: len(home.told(HERS)) >= 4)
    before, told = (json.loads(payload)["cmps"] for payload in home.told(HERS)[-2:])
    assert before["tracker"] | {"stat_t": ""} == {"p": "device_tracker", "uniq_id": f"{HERS}_tracker", "stat_t": ""}
    assert told["tracker"] == {"p": "device_tracker"}
    assert before["present"] == told["present"]


async def test_when_it_is_switched_off_everything_is_removed_and_births_are_answered(home):
    async with home.publishing():
        await home.heard.until(lambda: home.told(HIS))
    home.options = {"enabled": False}
    async with home.publishing():
        await home.heard.until(lambda: all(home.told(key)[-1] == b"" for key in (MAIN, DOOR, HERS, HIS)))
        await home.say("homeassistant/status", "online")
        await until(lambda: [row.replayed for row in Ledger.read(home.list).tombstones] == [1] * 4)
    async with listening(home.port, "homeassistant/device/#") as late:
        await asyncio.sleep(0.3)
    assert late.messages == []
    for key in (MAIN, DOOR, HERS, HIS):  # Home Assistant warns of one that is told to be gone and that it doesn't know
        assert (b"", b"") not in pairwise(home.told(key))


async def test_what_an_unknown_run_left_on_the_broker_is_removed(home):
    stranger, camera = "whosthere_person_pxxxxxxxxxxxx", "whosthere_cam_gone"
    left = {
        "dev": {"ids": [stranger], "name": "Eve"},
        "cmps": {"present": {"p": "binary_sensor"}, "old": {"p": "sensor"}},
    }
    await home.say(config(stranger), json.dumps(left), retain=True)
    await home.say(config(camera), "no JSON", retain=True)
    await home.say(config("other_thing"), "{}", retain=True)
    async with home.publishing():
        await home.heard.until(lambda: home.told(stranger)[-1] == home.told(camera)[-1] == b"")
        assert home.told("other_thing") == [b"{}"]
        await until(lambda: stranger in home.list.read_text())
    rows = {row.key: row.removed_platforms for row in Ledger.read(home.list).tombstones}
    assert rows[stranger]["old"] == "sensor"
    assert rows[camera]["who"] == "sensor"


async def test_what_cant_be_written_down_is_not_told(home, caplog):
    async with home.publishing() as publisher:
        await home.heard.until(lambda: home.told(HIS))
        home.list.unlink()
        home.list.mkdir()
        carol = "pcarol0000000"
        home.names[carol] = "Carol"
        del home.names[BOB]
        publisher.gallery_changed([BOB])
        await home.heard.until(lambda: home.told(HIS)[-1] == b"")
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{carol}/present"))
        assert home.told(f"whosthere_person_{carol}") == []
        assert "discovery_list_unwritable" in {getattr(record, "code", "") for record in caplog.records}
        home.list.rmdir()
        publisher.gallery_changed([])
        await home.heard.until(lambda: home.told(f"whosthere_person_{carol}"))


async def test_a_list_of_the_future_has_nothing_told_and_stays(home, caplog):
    home.list.write_text('{"version": 2}')
    async with home.publishing() as publisher:
        await home.heard.until(lambda: home.heard.on(f"whosthere/people/{BOB}/present"))
        assert "newer whosthere" in publisher.discovery.trouble
        assert home.configs() == []
        await home.say(config(HERS), "her name", retain=True)  # as the newer one left it
        publisher.forget([ADA])
        await home.heard.until(lambda: home.told(HERS)[-1:] == [b""])
    topics = [topic for topic, payload, _ in home.heard.messages if not payload]
    assert topics[0] == config(HERS)
    assert home.list.read_text() == '{"version": 2}'


async def test_where_the_list_is_lost_whoever_was_forgotten_is_removed(home):
    home.list.write_text("{")
    async with home.publishing(forgotten=("pforgotten000",)):
        await home.heard.until(lambda: home.told("whosthere_person_pforgotten000")[-1:] == [b""])


async def test_a_broker_that_is_slow_to_take_it_all_keeps_its_connection_and_gets_events(home, monkeypatch):
    monkeypatch.setattr(discovery, "OPEN_WITHIN_S", 0.05)
    monkeypatch.setattr(discovery, "HOLD_S", 0.05)
    send, may_go = BrokerClient.send, asyncio.Event()

    async def slowly(client: BrokerClient, topic: str, payload: bytes | str, **options: Any) -> str | None:
        if topic == config(HERS):
            await may_go.wait()
        return await send(client, topic, payload, **options)

    monkeypatch.setattr(BrokerClient, "send", slowly)
    async with home.publishing() as publisher:
        home.outbox.put(due("a1n"))
        await home.heard.until(home.heard.events)
        assert home.told(HERS) == []
        may_go.set()
        await home.heard.until(lambda: home.told(HERS) and home.told(HIS))
        assert publisher.connected
    assert home.heard.on("whosthere/available").count(b"online") == 1


async def test_events_wait_until_a_new_camera_is_ready_for_them(home, monkeypatch):
    monkeypatch.setattr(discovery, "SETTLE_S", 0.5)
    async with home.publishing() as publisher:
        await until(lambda: home.sample("devices") == 4)
        publisher.add_camera("hall")
        publisher.set_camera_status("hall", "online")
        await home.heard.until(lambda: home.told("whosthere_cam_hall"))
        home.outbox.put(due("a1n", camera="hall"))
        await home.heard.until(home.heard.events)
        assert home.heard.events()[0].event_id == event_id("a")
    topics = [topic for topic, _, _ in home.heard.messages]
    event = topics.index(f"whosthere/cameras/hall/identity/{ADA}")
    # The states are sent again when the camera is ready, and not before.
    assert topics[:event].count("whosthere/cameras/hall/present") >= 2
