"""`publish_names: false` in all that the service publishes: states, events, Frigate's topics, discovery."""

import asyncio
import json
from pathlib import Path

import pytest

from streamer.mqtt.publisher import Publisher
from streamer.sections.mqtt import FrigateSettings
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.faces import KNOWN, write_film
from tests.live.service import ServiceProcess
from tests.streamer.listener import Heard, listening
from tests.streamer.messages import ADA, BOB, due

pytestmark = pytest.mark.live

NAME = "Zebedee Unmistakable-Ünïque"
PARTS = ("Zebedee", "Unmistakable")
SERVICE_TOPICS = {"available", "service/state", "service/model", "cameras/door/status", "cameras/door/present"}


def naming(heard: Heard, *needles: str) -> list[str]:
    """Topics that name one of them, in the topic or in the payload, as text or as JSON escapes it."""
    return [
        topic
        for topic, payload, _ in heard.messages
        if any(needle in f"{topic} {payload.decode(errors='replace')}" for needle in needles)
    ]


def house(folder: Path, port: int, *, publish_names: bool) -> ServiceProcess:
    door = {"url": str(write_film(folder / "standing.mp4", ([KNOWN], 1))), "fps": 10, "loop": True, "snapshots": True}
    mqtt = {
        "port": port,
        "publish_names": publish_names,
        "commands": ["cameras/enabled"],
        "frigate": {"enabled": True},
        "home_assistant": {"enabled": True, "trackers": True, "pictures": "all"},
    }
    return ServiceProcess(folder, {"paths": {"data": "data"}, "cameras": {"door": door}, "mqtt": mqtt})


@pytest.mark.parametrize("publish_names", [False, pytest.param(True, marks=pytest.mark.thorough)])
async def test_the_service_says_no_name(tmp_path, broker, publish_names):
    service = house(tmp_path, broker.port, publish_names=publish_names)
    async with listening(broker.port, "#") as heard:
        with service:
            await service.until_ready()
            await asyncio.to_thread(service.run, "enrol", NAME, str(KNOWN.file))
            found = json.loads(await asyncio.to_thread(service.run, "people", "list", "--json"))
            person_id = found["people"][0]["id"]
            told = [f"whosthere/{topic}" for topic in SERVICE_TOPICS]
            told += [f"whosthere/people/{person_id}/{leaf}" for leaf in ("present", "last_seen")]
            told += [
                f"whosthere/cameras/door/identity/{person_id}",
                "frigate/tracked_object_update",
                "frigate/available",
            ]
            async with asyncio.timeout(90):
                await heard.until(lambda: all(map(heard.on, told)), 90)
                await heard.until(
                    lambda: any(t.startswith("homeassistant/") and person_id in t for t, _, _ in heard.messages), 90
                )
            assert await asyncio.to_thread(service.stop) == 0
        assert heard.on("whosthere/available")[-1] == heard.on("frigate/available")[-1] == b"offline"

    assert bool(naming(heard, *PARTS)) == publish_names


async def test_nor_do_messages_of_doubts_corrections_and_ends(broker, outbox):
    mqtt = MqttSettings(port=broker.port, publish_names=False, frigate=FrigateSettings(enabled=True))
    publisher = Publisher(mqtt, outbox, {ADA: NAME, BOB: f"{NAME} II"}.get, Metrics(), person_ids=lambda: (ADA, BOB))
    publisher.add_camera("door")
    publisher.set_model({"signature": "s"})
    for item in (
        due("a1n", candidates=[ADA, BOB]),
        due("a2u"),
        due("a3u", person=BOB, previous=ADA),
        due("a4u", person=None, previous=BOB),
        due("b1n", name=NAME),  # even of an event that holds one
        due("b2e"),
    ):
        outbox.put(item)
    async with listening(broker.port, "#") as heard, asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.run())
        await heard.until(lambda: {"a4u", "b2e"} <= set(heard.words()))
        await heard.until(lambda: len(heard.on("frigate/events")) == 6)
        await publisher.stop()

    assert naming(heard, *PARTS) == []
    assert naming(heard, ADA)  # who is told of by the id
