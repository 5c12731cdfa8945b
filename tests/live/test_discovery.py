"""The service on a real mosquitto, and a subscriber in Home Assistant's place: what it is told, and told again."""

import json
from pathlib import Path

import pytest
from aiomqtt import Client

from tests.faces import KNOWN, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.streamer.listener import Heard, listening

pytestmark = pytest.mark.live

WHO = "Zebedee Unmistakable"
CONFIGS = "homeassistant/device/#"


def house(folder: Path, port: int) -> ServiceProcess:
    clip = write_film(folder / "standing.mp4", ([KNOWN], 1))
    mqtt = {"port": port, "home_assistant": {"enabled": True, "pictures": "known"}}
    cameras = {"door": {"url": str(clip), "fps": 5, "loop": True}}
    return ServiceProcess(folder, {"paths": {"data": "data"}, "cameras": cameras, "mqtt": mqtt})


async def born(broker: Mosquitto) -> None:
    """As Home Assistant says it: not retained."""
    async with Client("127.0.0.1", broker.port) as client:
        await client.publish("homeassistant/status", "online")


def newest(heard: Heard, device: str, since: int = 0) -> list[bytes]:
    topic = f"homeassistant/device/{device}/config"
    return [payload for one, payload, _ in heard.messages[since:] if one == topic]


async def test_home_assistant_is_told_and_told_again_and_made_to_forget(tmp_path, broker):
    service = house(tmp_path, broker.port)
    async with listening(broker.port) as heard:
        with service:
            await service.until_ready("broker")
            service.run("enrol", WHO, KNOWN.file)
            (person,) = json.loads(service.run("people", "list", "--json"))["people"]
            theirs = f"whosthere_person_{person['id']}"
            await heard.until(lambda: newest(heard, theirs))
            assert json.loads(newest(heard, theirs)[0])["dev"]["name"] == WHO
            assert json.loads(newest(heard, "whosthere_cam_door")[0])["cmps"]["last_face"]["p"] == "image"
            faces = "whosthere/cameras/door/last_face"
            await heard.until(lambda: heard.on(faces), 60)
            first = [topic for topic, _, _ in heard.messages if topic == faces or topic.endswith(person["id"])]
            assert first[0] == faces, "the picture comes before the event"
            assert heard.on(faces)[0].startswith(b"\xff\xd8\xff")

            since = len(heard.messages)
            await born(broker)
            await heard.until(lambda: newest(heard, theirs, since) and newest(heard, "whosthere_main", since))
            await heard.until(lambda: "whosthere/available" in [topic for topic, _, _ in heard.messages[since:]])
            await service.until_metric("whosthere_home_assistant_devices", lambda devices: devices == 3)
            service.kill()

        told = json.loads(service.run("people", "forget", WHO, "--yes", "--json"))
        assert told["left"] == []
        assert "what Home Assistant is to forget" in told["steps"][-1]["done"]
        async with listening(broker.port, CONFIGS) as late:
            await late.until(lambda: len(late.messages) == 2)
        assert WHO not in (tmp_path / "data" / "home-assistant.json").read_text()

        since = len(heard.messages)
        with service:
            await service.until_ready("broker")
            await heard.until(lambda: newest(heard, "whosthere_main", since))  # it hears of births by now
            since = len(heard.messages)
            await born(broker)

            async def is_done() -> bool:
                rows = json.loads((tmp_path / "data" / "home-assistant.json").read_text())["devices"]
                return [row["replayed"] for row in rows if row["key"] == theirs] == [1]

            await until(is_done)
            await heard.until(
                lambda: newest(heard, theirs, since)[-1:] == [b""] and len(newest(heard, theirs, since)) > 1
            )
            before, after = newest(heard, theirs, since)[-2:]
            assert (json.loads(before)["dev"]["name"], after) == (theirs, b"")
            assert not [payload for _, payload, _ in heard.messages[since:] if WHO.encode() in payload]
            assert service.stop() == 0
    async with listening(broker.port, "#") as late:
        await late.until(lambda: len([m for m in late.messages if m[0].startswith("homeassistant/device")]) == 2)
    assert [topic for topic, _, _ in late.messages if topic.endswith("last_face")] == []
