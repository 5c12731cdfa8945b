"""Which retained topics are an earlier run's, and when they are asked for."""

import asyncio
from contextlib import suppress

import pytest
from aiomqtt import MqttError

from streamer.errors import BrokerLost
from streamer.mqtt import leftovers
from streamer.mqtt.connection import Broker
from streamer.mqtt.leftovers import Leftovers, is_leftover
from streamer.settings import MqttSettings
from tests.streamer.messages import ADA, BOB
from tests.streamer.mqtt.scripted_broker import ScriptedBroker


@pytest.mark.parametrize(
    ("topic", "leftover"),
    [
        ("site/whosthere/cameras/gone/status", True),
        ("site/whosthere/cameras/gone/present", True),
        (f"site/whosthere/people/{BOB}/present", True),
        (f"site/whosthere/people/{BOB}/last_seen", True),
        ("site/whosthere/cameras/door/status", False),
        ("site/whosthere/cameras/door/present", False),
        (f"site/whosthere/people/{ADA}/present", False),
        ("site/whosthere/available", False),
        ("site/whosthere/service/model", False),
        ("site/whosthere/cameras/gone/enabled/state", True),
        ("site/whosthere/cameras/door/enabled/state", True),
        ("site/whosthere/cameras/gone/enabled/set", False),
        ("site/whosthere/cameras/gone/other", False),
        ("site/whosthere/cameras/gone/deep/status", False),
        ("site/whosthere2/cameras/gone/status", False),
        ("cameras/gone/status", False),
    ],
)
def test_what_belongs_to_nobody_any_more(topic, leftover):
    assert is_leftover(topic, "site/whosthere", {"door": 1}, {ADA: "Ada"}.get) is leftover


@pytest.mark.parametrize(("may_read", "lost", "asked"), [(True, False, 1), (False, True, 1), (True, True, 2)])
async def test_they_are_asked_for_until_that_is_done_or_costs_the_connection(monkeypatch, may_read, lost, asked):
    broker = ScriptedBroker(lambda *_: 0, may_read=may_read)
    sought = Leftovers("whosthere")
    async with asyncio.timeout(20), broker.listen():
        door = Broker(MqttSettings(port=broker.port, version="5"))
        for look_for_s in (1e6 if lost else 0.0, 0.0, 0.0):
            monkeypatch.setattr(leftovers, "LOOK_FOR_S", look_for_s)
            with suppress(BrokerLost):
                async with door.connect(client_id="tester") as client, asyncio.TaskGroup() as tasks:
                    tasks.create_task(sought.look(client))
                    if look_for_s and may_read:
                        while not broker.subscriptions or sought._sought:
                            await asyncio.sleep(0.01)
                        raise MqttError("the connection is lost")
    assert broker.subscriptions == asked
