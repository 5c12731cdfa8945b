"""The demo's own broker: any free port or a given one, messages through, a clean end with clients connected."""

import asyncio
import json
import socket

import pytest
import uvloop
from pydantic import SecretStr

from streamer.errors import BrokerLost, BrokerUnreachable, PortInUse
from streamer.events.event import IdentityEvent, Person
from streamer.mqtt.connection import Broker
from streamer.mqtt.embedded_broker import embedded_broker
from streamer.mqtt.subscriber import Once, follow
from streamer.settings import MqttSettings
from tests.streamer.listener import listening
from tests.streamer.messages import ADA, BOB, due, dues, word_of


async def carry(events: str) -> list[str]:
    """Publishes to a follower through a broker of our own; ends the broker under the follower's feet."""
    seen: list[str] = []
    ready, all_seen = asyncio.Event(), asyncio.Event()

    def note(event: object) -> None:
        seen.append(f"{event.seq}")  # type: ignore[attr-defined]
        if len(seen) == len(events.split()):
            all_seen.set()

    async with asyncio.timeout(20):
        async with embedded_broker() as port:
            mqtt = MqttSettings(port=port)
            following = asyncio.create_task(follow(mqtt, on_event=note, on_listening=ready.set))
            await ready.wait()
            async with Broker(mqtt).connect(client_id="tester") as client:
                await client.publish("whosthere/cameras/door/identity/unknown", b"no event", qos=1)
                for item in dues(events):
                    payload = item.event.model_dump_json(by_alias=True)
                    for level in ("unknown", item.levels[0]):
                        await client.publish(f"whosthere/cameras/door/identity/{level}", payload, qos=1)
                await all_seen.wait()
        with pytest.raises(BrokerLost):
            await following
    return seen


async def test_events_go_through_and_each_is_seen_once():
    assert await carry("a1n a2u a3e") == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (None, "a1n a2u b1n c1n"),
        (ADA, "a1n a2u"),
        (f" {ADA.upper()}", "a1n a2u"),
        ("ada lovelace", "a1n a2u"),
        ("  ADA   Lovelace", "a1n a2u"),
        ("Bob", "a2u b1n"),
        ("Eve", ""),
    ],
)
async def test_one_persons_events_are_those_that_name_or_named_them(person, expected):
    seen: list[str] = []
    ready, last = asyncio.Event(), asyncio.Event()
    words = [
        ("a1n", ADA, None),
        ("a2u", BOB, ADA),
        ("b1n", BOB, None),
        ("c1n", None, None),
        ("z9e", "pend000000000", None),
    ]
    names = {ADA: "Ada Lovelace", BOB: "Bob", "pend000000000": person or "The End"}

    def note(event: IdentityEvent) -> None:
        seen.append(word_of(event))
        if seen[-1] == "z9e":
            last.set()

    async with embedded_broker() as port, asyncio.timeout(20):
        mqtt = MqttSettings(port=port, version="3.1.1")
        following = asyncio.create_task(follow(mqtt, on_event=note, person=person, on_listening=ready.set))
        await ready.wait()
        async with Broker(mqtt).connect(client_id="tester") as client:
            for word, who, before in words:
                event = due(word, person=who, previous=before).event
                named = {
                    field: known and known.model_copy(update={"name": names[known.id]})
                    for field, known in (("person", event.person), ("previous_person", event.previous_person))
                }
                if word == "z9e" and person == ADA:
                    named["person"] = Person(id=ADA)
                payload = event.model_copy(update=named).model_dump_json(by_alias=True)
                await client.send("whosthere/cameras/door/identity/x", payload)
            await last.wait()
        following.cancel()
        await asyncio.wait((following,))
    assert " ".join(seen[:-1]) == expected


@pytest.mark.parametrize("login", [None, "somebody"])
async def test_it_knows_no_mqtt_5_and_is_spoken_to_in_3_1_1(login):
    """It hangs up, or waits for ever for what a login of MQTT 5 does not have."""
    async with embedded_broker() as port:
        broker = Broker(MqttSettings(port=port, username=login, password=login and SecretStr("hunter2")))
        for _ in range(2):
            async with broker.connect(client_id="tester") as client:
                assert await client.send("whosthere/x", b"1") is None
                assert broker.version == "3.1.1"


async def test_mqtt_5_alone_is_refused_by_a_broker_that_knows_none():
    async with embedded_broker() as port:
        with pytest.raises(BrokerUnreachable, match="Unsupported protocol version"):
            async with Broker(MqttSettings(port=port, version="5")).connect(client_id="tester"):
                pass


def test_it_works_on_uvloop():
    assert uvloop.run(carry("a1n a2e")) == ["1", "2"]


async def test_what_is_retained_reaches_those_who_come_later():
    async with embedded_broker() as port:
        async with Broker(MqttSettings(port=port)).connect(client_id="tester") as client:
            await client.publish("whosthere/x", json.dumps({"a": 1}), qos=1, retain=True)
        async with listening(port, "whosthere/#") as heard:
            await heard.until(lambda: heard.messages)

    assert set(heard.messages) == {("whosthere/x", b'{"a": 1}', True)}


async def test_a_given_port_is_taken_and_free_again_afterwards(free_port):
    for _ in range(2):
        async with embedded_broker(port=free_port) as port:
            assert port == free_port


async def test_a_port_in_use_is_one_line_with_its_code():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"^port {port} on 127.0.0.1 is in use"):
            async with embedded_broker(port=port):
                pass


def test_what_was_seen_once_is_remembered_within_a_limit():
    once = Once(limit=2)
    first, second, third = (due(word).event for word in ("a1n", "a2u", "b1n"))

    assert [once.first(event) for event in (first, first, second, third)] == [True, False, True, True]
    assert once.first(first), "forgotten by now"
    assert not once.first(third)
