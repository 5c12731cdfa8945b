"""The service and a real Home Assistant core on one broker: who and what it shows, and that it forgets.

In this order, on one core that is stopped and started again; nothing may have made it complain by the end.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aiomqtt import Client

from tests.conftest import PROJECT
from tests.faces import KNOWN, STRANGERS, write_film
from tests.home_assistant.core import STARTS_WITHIN_S, Core, until_is
from tests.live.mosquitto import Mosquitto
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until
from tests.streamer.listener import Heard, listening

pytestmark = pytest.mark.live

NAME = "Ada Lovelace"
BIRTHS = "homeassistant/status"
OPTIONS = {"enabled": True, "trackers": True, "pictures": "all"}


class House:
    """A broker, a core, the service; `door`, a camera that shows Ada now and then, and `hall`, which can be cut off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "broker").mkdir()
        self.broker = Mosquitto(folder / "broker")
        page = (PROJECT / "docs" / "home-assistant.md").read_text()
        automations = [
            block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("- alias")
        ]
        self.core = Core(folder / "core", self.broker.port, "\n".join(automations))
        film = write_film(folder / "door.mp4", ([KNOWN], 4), ([None], 6))
        self.hall_film = write_film(folder / "hall.mp4", ([None], 2))
        self.hall_port = unused_port()
        hall = {"url": f"rtsp://127.0.0.1:{self.hall_port}/hall", "fps": 5, "read_timeout_s": 2}
        self.cameras: dict[str, Any] = {"door": {"url": str(film), "fps": 10, "loop": True}, "hall": hall}
        self.options: dict[str, Any] = dict(OPTIONS)
        self.mqtt: dict[str, Any] = {"port": self.broker.port, "commands": ["cameras/enabled"]}

    def service(self) -> ServiceProcess:
        """By what the configuration is now; its data stay."""
        mqtt = self.mqtt | {"home_assistant": self.options}
        return ServiceProcess(
            self.folder,
            {"paths": {"data": "data"}, "cameras": self.cameras, "mqtt": mqtt, "events": {"gone_after_s": 1}},
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ServiceProcess]:
        with self.service() as service:
            await service.until_ready("broker")
            yield service
            assert service.stop() == 0

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The core is stopped for the block, and started again behind it."""
        self.core.stop()
        yield
        await self.born()

    async def born(self) -> None:
        async with listening(self.broker.port, BIRTHS) as heard:
            self.core.start()
            await heard.until(lambda: b"online" in heard.on(BIRTHS), STARTS_WITHIN_S)

    async def enrolled(self, service: ServiceProcess, name: str, photo: Path) -> str:
        service.run("enrol", name, photo)
        people = json.loads(service.run("people", "list", "--json"))["people"]
        return str(next(one["id"] for one in people if one["name"] == name))

    async def gone(self, *parts: str) -> None:
        """Until neither a device nor an entity of the core has one of these in its id."""

        async def is_gone() -> bool:
            ids = [*await self.core.devices(), *await self.core.entities()]
            return not any(part in one for one in ids for part in parts)

        await until(is_gone, 20)

    async def retained(self, topic: str) -> Heard:
        async with listening(self.broker.port, topic) as heard:
            await asyncio.sleep(1)
        return heard


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    with house.broker:
        try:
            yield house
        finally:
            house.core.stop()


@pytest.fixture(autouse=True)
def nothing_to_complain_of(house) -> Iterator[None]:
    yield
    assert house.core.complaints() == []


def person(person_id: str, entity: str) -> str:
    return f"whosthere_person_{person_id}_{entity}"


def camera(name: str, entity: str) -> str:
    return f"whosthere_cam_{name}_{entity}"


async def test_ada_comes_and_goes(house):
    await house.born()
    async with house.serving() as service:
        ada = await house.enrolled(service, NAME, KNOWN.file)
        await until_is(house.core, person(ada, "present"), "on")
        await until_is(house.core, person(ada, "where"), "door")
        await until_is(house.core, camera("door", "who"), NAME)
        shown = await house.core.entities()
        assert shown[person(ada, "present")]["attributes"]["friendly_name"] == NAME
        assert shown[person(ada, "tracker")]["state"] == "home"
        assert shown[person(ada, "last_camera")]["state"] == "door"
        assert datetime.fromisoformat(shown[person(ada, "last_seen")]["state"]).tzinfo is not None
        assert [one["name"] for one in shown[camera("door", "who")]["attributes"]["people"]] == [NAME]
        assert shown[camera("door", "occupied")]["state"] == "on"
        assert shown[camera("door", "unknown")]["state"] == "0"
        assert shown["whosthere_main_running"]["state"] == "on"
        await until_is(house.core, person(ada, "present"), "off")
        await until_is(house.core, camera("door", "who"), "nobody")

        told = (await house.core.entities())[camera("door", "identity")]["attributes"]
        assert (told["event_type"], told["person"], told["person_id"]) == ("end", NAME, ada)

        async def is_notified() -> bool:
            return set(await house.core.notifications()) >= {"Ada is here", f"{NAME} is at the door"}

        # Whoever is enrolled while standing there is there from the entity's first state on; the clip begins again.
        await until(is_notified, 60)
        assert await house.core.triggered("who_is_at_the_door_on_the_phone") is not None
        picture = await house.core.picture(shown[camera("door", "last_face")]["entity_id"])
        assert picture.headers["content-type"] == "image/jpeg"
        pixels = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert min(pixels.shape[:2]) > 100
        assert pixels.std() > 20


async def test_a_camera_goes_offline_and_comes_back(house):
    async with house.serving():
        await until_is(house.core, camera("hall", "connected"), "off")
        await until_is(house.core, camera("hall", "occupied"), "unavailable")
        for _ in range(2):
            with RtspServer(house.hall_port, {"hall": house.hall_film}):
                await until_is(house.core, camera("hall", "connected"), "on")
                await until_is(house.core, camera("hall", "occupied"), "off")
                await until_is(house.core, camera("hall", "who"), "nobody")
            await until_is(house.core, camera("hall", "connected"), "off")
            await until_is(house.core, camera("hall", "who"), "unavailable")
        async with Client("127.0.0.1", house.broker.port) as client:
            await client.publish("whosthere/cameras/door/enabled/set", "OFF", qos=1)
            await until_is(house.core, camera("door", "enabled"), "off")
            await until_is(house.core, camera("door", "who"), "unavailable")
            await client.publish("whosthere/cameras/door/enabled/set", "ON", qos=1)
            await until_is(house.core, camera("door", "enabled"), "on")
    await until_is(house.core, camera("door", "who"), "unavailable")
    await until_is(house.core, "whosthere_main_running", "off")


async def test_a_rename_keeps_what_its_user_has_made_of_it(house):
    async with house.serving() as service:
        (ada,) = (one["id"] for one in json.loads(service.run("people", "list", "--json"))["people"])
        before = await house.core.entities()
        mine = before[person(ada, "last_seen")]["entity_id"]
        await house.core.ask("config/entity_registry/update", entity_id=mine, new_entity_id="sensor.of_my_own")
        service.run("people", "rename", ada, "Countess of Lovelace")

        async def is_renamed() -> bool:
            shown = (await house.core.entities())[person(ada, "present")]
            return shown["attributes"]["friendly_name"] == "Countess of Lovelace"

        await until(is_renamed, 20)
        after = await house.core.entities()
        expected = {key: one["entity_id"] for key, one in before.items()} | {
            person(ada, "last_seen"): "sensor.of_my_own"
        }
        assert {key: one["entity_id"] for key, one in after.items()} == expected
        await until_is(house.core, camera("door", "who"), "Countess of Lovelace")
        service.run("people", "rename", ada, NAME)


async def test_who_is_forgotten_is_gone_at_once(house):
    async with house.serving() as service:
        bob = await house.enrolled(service, "Bob", STRANGERS[0].file)
        await until_is(house.core, person(bob, "present"), "off")
        told = json.loads(service.run("people", "forget", bob, "--yes", "--json"))
        assert told["left"] == []
        await house.gone(bob)
        assert not [m for m in (await house.retained("homeassistant/#")).messages if bob in f"{m}" or b"Bob" in m[1]]


async def test_who_is_forgotten_while_it_is_off_is_gone_when_it_starts(house):
    async with house.serving() as service:
        bob = await house.enrolled(service, "Bob", STRANGERS[0].file)
        await until_is(house.core, person(bob, "present"), "off")
        service.run("cameras", "add", "porch", house.cameras["door"]["url"])
        await until_is(house.core, camera("porch", "connected"), "on", "off")
        async with house.away():
            service.run("people", "forget", bob, "--yes")
            service.run("cameras", "remove", "porch")
        await house.gone(bob, "porch")
        (ada,) = (one["id"] for one in json.loads(service.run("people", "list", "--json"))["people"])
        await until_is(house.core, person(ada, "present"), "on")
    document = json.loads((house.folder / "data" / "home-assistant.json").read_text())
    assert {one["replayed"] > 0 for one in document["devices"] if one["key"].endswith(("porch", bob))} == {True}
    assert "Bob" not in json.dumps(document)


async def test_who_is_forgotten_while_both_are_off_is_gone_once_both_are_there(house):
    async with house.serving() as service:
        bob = await house.enrolled(service, "Bob", STRANGERS[0].file)
        await until_is(house.core, person(bob, "present"), "off")
    async with house.away():
        told = json.loads(service.run("people", "forget", bob, "--yes", "--json"))
        assert told["left"] == []
    assert await house.core.state(person(bob, "present")) == "unavailable"  # it was off, and would keep her for good
    async with house.serving():
        await house.gone(bob)


async def test_what_the_broker_has_lost_is_told_again_when_it_starts(house):
    before = {key: one["entity_id"] for key, one in (await house.core.entities()).items()}
    async with house.serving() as service:
        async with house.away(), Client("127.0.0.1", house.broker.port) as client:
            for topic, _, _ in [*(await house.retained("#")).messages]:
                await client.publish(topic, b"", qos=1, retain=True)
        (ada,) = (one["id"] for one in json.loads(service.run("people", "list", "--json"))["people"])
        await until_is(house.core, person(ada, "present"), "on")
        await until_is(house.core, "whosthere_main_running", "on")
        await until_is(house.core, camera("hall", "connected"), "off")

        async def is_as_before() -> bool:
            return {key: one["entity_id"] for key, one in (await house.core.entities()).items()} == before

        await until(is_as_before, 30)  # what was removed is there for a second once more


async def test_what_is_switched_off_goes_while_it_is_off_and_all_of_it_in_the_end(house):
    house.options |= {"trackers": False, "pictures": "none"}
    house.mqtt["publish_names"] = False
    async with house.away(), house.serving():
        pass
    async with house.serving() as service:
        (ada,) = (one["id"] for one in json.loads(service.run("people", "list", "--json"))["people"])
        await house.gone(person(ada, "tracker"), camera("door", "last_face"))
        await until_is(house.core, camera("door", "who"), ada)
        shown = await house.core.entities()
        assert shown[person(ada, "present")]["attributes"]["friendly_name"] == ada
        assert NAME not in json.dumps([*(await house.core.devices()).values()])
        async with asyncio.timeout(30):  # the last event named her, and stands until the next one
            while NAME in json.dumps([*(await house.core.entities()).values()]):
                await asyncio.sleep(0.2)
    house.options["enabled"] = False
    async with house.serving():
        await house.gone("whosthere")
    house.options["enabled"] = True
    async with house.serving():
        await until_is(house.core, person(ada, "present"), "on", "off")
    house.options["enabled"] = False
    async with house.away(), house.serving():
        await house.retained("homeassistant/#")
    assert await house.core.devices() != {}
    async with house.serving():
        await house.gone("whosthere")
