"""One connection to a broker: what is asked when it ends, what is opened and not wanted, names that are none."""

import asyncio
import threading

import paho.mqtt.client as paho
import pytest
from aiomqtt import MqttError

from streamer.errors import BrokerLost, BrokerUnreachable
from streamer.mqtt import connection
from streamer.mqtt.broker_check import ENDS_THE_CONNECTION, try_topic
from streamer.mqtt.client import BrokerClient
from streamer.mqtt.connection import Broker
from streamer.settings import MqttSettings
from tests.live.service import until
from tests.streamer.mqtt.scripted_broker import HANG_UP, ScriptedBroker


async def _several(client: BrokerClient) -> None:
    answers = await asyncio.gather(*(client.send("bad", b"x") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, MqttError) for answer in answers)
    raise MqttError("all of them")


@pytest.mark.parametrize(
    "ask", [lambda client: client.send("bad", b"x"), lambda client: client.subscribe("x"), _several]
)
async def test_what_is_asked_of_a_connection_that_ends_is_answered_at_once(monkeypatch, ask):
    monkeypatch.setattr(connection, "ANSWER_WITHIN_S", 1e6)
    broker = ScriptedBroker(lambda *_: HANG_UP, may_read=False)

    async with asyncio.timeout(20), broker.listen():
        with pytest.raises(BrokerLost):
            async with Broker(MqttSettings(port=broker.port, version="5")).connect(client_id="tester") as client:
                await ask(client)


async def test_a_try_that_costs_the_connection_is_over_with_it(monkeypatch):
    monkeypatch.setattr(connection, "ANSWER_WITHIN_S", 1e6)
    broker = ScriptedBroker(lambda topic, _: HANG_UP if topic == "bad" else 0)
    async with asyncio.timeout(20), broker.listen():
        door = Broker(MqttSettings(port=broker.port))
        assert await try_topic(door, "a-try", "bad", b"x", retain=False) == ENDS_THE_CONNECTION
        assert await try_topic(door, "a-try", "good", b"x", retain=False) is None
    assert set(broker.client_ids) == {"a-try"}, "the version is found with the same one"


@pytest.mark.parametrize("version", ["auto", "5", "3.1.1"])
async def test_a_connection_that_is_not_waited_for_does_not_live_on(monkeypatch, version):
    broker, connecting, gate = ScriptedBroker(lambda *_: 0), threading.Event(), threading.Event()
    connect = paho.Client.connect

    def slow(*args: object, **kwargs: object) -> object:
        connecting.set()
        assert gate.wait(20)
        return connect(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(paho.Client, "connect", slow)
    async with broker.listen():
        mqtt = MqttSettings(port=broker.port, version=version)
        trying = asyncio.create_task(try_topic(Broker(mqtt), "a-try", "x", b"x", retain=False))
        await until(connecting.is_set)
        trying.cancel()
        await asyncio.wait((trying,))
        assert broker.connections == 0
        gate.set()
        await until(lambda: broker.connections == 1 and not broker.open)
    assert trying.cancelled()


@pytest.mark.parametrize("host", ["a..b", ".lan", "x" * 64, "x\0.lan", ""])
async def test_a_host_that_is_none_can_not_be_reached(host):
    with pytest.raises(BrokerUnreachable, match=r"can't be reached \(.+\); start it, or check mqtt.host"):
        async with Broker(MqttSettings(host=host)).connect(client_id="tester"):
            pass
