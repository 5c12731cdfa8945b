"""How long a real broker is asked to keep what it is given: as the subscriber of a session hears it (MQTT 5)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiomqtt import Client, ProtocolVersion

from streamer.mqtt.broker_check import CHECK_EXPIRES_S
from streamer.mqtt.publisher import Publisher
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.live.service import until
from tests.streamer.messages import ADA, due

pytestmark = pytest.mark.live

EVENT = f"whosthere/cameras/door/identity/{ADA}"
CHECK = "whosthere/service/check"


@asynccontextmanager
async def expiries(port: int) -> AsyncIterator[dict[str, int | None]]:
    """Of each topic's newest message, in s."""
    found: dict[str, int | None] = {}

    async def hear(client: Client) -> None:
        async for message in client.messages:
            found[message.topic.value] = getattr(message.properties, "MessageExpiryInterval", None)

    async with Client("127.0.0.1", port, protocol=ProtocolVersion.V5) as client:
        await client.subscribe("whosthere/#", qos=1)
        task = asyncio.create_task(hear(client))
        yield found
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("mqtt", "event_s", "check_s"),
    [
        ({}, None, CHECK_EXPIRES_S),  # an event is lost to nobody who is away
        ({"expire_events_s": 3600}, 3600, CHECK_EXPIRES_S),
        ({"expire_events_s": 3600, "version": "3.1.1"}, None, None),
    ],
)
async def test_messages_expire_as_it_is_asked_for(broker, outbox, mqtt, event_s, check_s):
    settings = MqttSettings.model_validate({"port": broker.port} | mqtt)
    publisher = Publisher(settings, outbox, {ADA: "Ada"}.get, Metrics())
    outbox.put(due("a1n"))
    async with expiries(broker.port) as found, asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.run())
        await until(lambda: {EVENT, CHECK, f"whosthere/people/{ADA}/last_seen"} <= found.keys())
        await publisher.stop()

    assert (found[EVENT], found[CHECK]) == (event_s, check_s)
    assert found[f"whosthere/people/{ADA}/last_seen"] is None
    assert found["whosthere/available"] is None
