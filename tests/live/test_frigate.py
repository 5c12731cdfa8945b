"""Frigate's topics from a publisher to a real mosquitto: in order, lost by no outage, without who was forgotten."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from streamer.events.outbox import Outbox
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.second_will import FrigateAvailability
from streamer.sections.mqtt import FrigateSettings
from streamer.settings import MqttSettings
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from tests.live.mosquitto import Mosquitto
from tests.live.service import until
from tests.streamer.listener import listening
from tests.streamer.messages import ADA, BOB, due, dues

pytestmark = pytest.mark.live

NAMES = {ADA: "Ada Lovelace", BOB: "Bob"}


@asynccontextmanager
async def publishing(mqtt: MqttSettings, outbox: Outbox) -> AsyncIterator[Publisher]:
    publisher = Publisher(mqtt, outbox, NAMES.get, Metrics())
    publisher.add_camera("door")
    async with running(supervise("broker", publisher.run, publisher.failed, first_delay_s=0.05, longest_delay_s=0.2)):
        yield publisher
        await publisher.stop()


@asynccontextmanager
async def running(work) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def mqtt(broker: Mosquitto) -> MqttSettings:
    return MqttSettings(port=broker.port, frigate=FrigateSettings(enabled=True))


async def test_a_visit_is_told_in_order_and_counted(mqtt, outbox):
    async with listening(mqtt.port, "frigate/#") as heard, publishing(mqtt, outbox):
        await heard.until(lambda: heard.on("frigate/door/person") == [b"0"])
        for item in [due("a1n", person=None), *dues("b1n b2u")]:
            outbox.put(item)
        await heard.until(lambda: heard.on("frigate/door/person")[-1:] == [b"2"])
        for item in [due("a2e", person=None), *dues("b3e")]:
            outbox.put(item)
        await heard.until(lambda: len(heard.on("frigate/events")) == 5)
        await heard.until(lambda: heard.on("frigate/door/all")[-1:] == [b"0"])
    told = [json.loads(payload) for payload in heard.on("frigate/events")]
    faces = [json.loads(payload) for payload in heard.on("frigate/tracked_object_update")]

    assert [(one["type"], one["after"]["id"][-1]) for one in told] == [
        ("new", "A"),
        ("new", "B"),
        ("update", "B"),
        ("end", "A"),
        ("end", "B"),
    ]
    assert [one["name"] for one in faces] == ["Ada Lovelace", "Ada Lovelace"]


async def test_an_outage_loses_nothing_and_who_is_forgotten_meanwhile_is_not_told(broker, mqtt, outbox):
    broker.stop()
    async with publishing(mqtt, outbox) as publisher:
        for item in [*dues("a1n a2u"), due("b1n", person=BOB)]:
            outbox.put(item)
        await outbox.flush()
        outbox.forget({ADA})
        publisher.forget({ADA})
        await outbox.flush()
        broker.start()
        async with listening(mqtt.port, "#") as heard:
            outbox.put(due("b2e", person=BOB))
            await heard.until(lambda: any(b'"end"' in payload for payload in heard.on("frigate/events")))
            outbox.put(due("c1n", person=BOB))
            await heard.until(lambda: any(b"0000C" in payload for payload in heard.on("frigate/events")))

    assert [topic for topic, payload, _ in heard.messages if ADA.encode() in payload or b"Ada" in payload] == []


async def test_a_topic_that_is_refused_holds_its_messages_until_it_is_taken(tmp_path, outbox, monkeypatch):
    """Those of the identity topic too: a message for several topics waits for all, so that nothing overtakes."""
    folder = tmp_path / "strict"
    folder.mkdir()
    monkeypatch.setattr("streamer.mqtt.refusals.TRY_AGAIN_S", 0.1)
    monkeypatch.setattr("streamer.mqtt.publisher.LOOK_EVERY_S", 0.1)
    with Mosquitto(folder, acl="topic readwrite whosthere/#\ntopic read frigate/#\n") as strict:
        mqtt = MqttSettings(port=strict.port, frigate=FrigateSettings(enabled=True))
        async with listening(mqtt.port, "frigate/#") as heard, publishing(mqtt, outbox) as publisher:
            for item in dues("a1n a2u"):
                outbox.put(item)
            await until(lambda: "frigate/events (Not authorized)" in publisher.trouble)
            strict.allow("topic readwrite #\n")
            await heard.until(lambda: len(heard.on("frigate/events")) >= 2)
            await until(lambda: not publisher.trouble)

    types = [json.loads(payload)["type"] for payload in heard.on("frigate/events")]
    assert list(dict.fromkeys(types)) == ["new", "update"]


async def test_its_availability_has_a_last_will_of_its_own(broker, mqtt):
    mqtt = mqtt.model_copy(update={"will_delay_s": 0})
    second = FrigateAvailability(mqtt, "us")
    async with listening(mqtt.port, "frigate/available") as heard:
        async with running(supervise("frigate", second.run, second.failed, first_delay_s=0.05)):
            await heard.until(lambda: heard.messages)
        await heard.until(lambda: len(heard.messages) == 2)
        async with running(supervise("frigate", second.run, second.failed, first_delay_s=0.05)):
            await heard.until(lambda: len(heard.messages) == 3)
            # Somebody takes its id: its connection ends, and the will is sent.
            async with listening(mqtt.port, "nothing", session="us-frigate"):
                await heard.until(lambda: len(heard.messages) >= 4)

    assert heard.on("frigate/available")[:4] == [b"online", b"offline", b"online", b"offline"]
