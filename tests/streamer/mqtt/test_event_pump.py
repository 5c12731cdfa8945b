"""Events past a broker of MQTT 5 that refuses some of them and stays: their order, their number, their turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer.errors import BrokerIdTaken
from streamer.events.outbox import Outbox
from streamer.mqtt import publisher as publishing
from streamer.mqtt import refusals
from streamer.mqtt.publisher import Publisher
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.messages import ADA, BOB, due, dues
from tests.streamer.mqtt.scripted_broker import (
    IMPLEMENTATION_SPECIFIC,
    NOT_AUTHORIZED,
    QUOTA_EXCEEDED,
    TAKEN_OVER,
    TOO_LARGE,
    ScriptedBroker,
)

DOOR, HALL = "whosthere/cameras/door/identity", "whosthere/cameras/hall/identity"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "TRY_AGAIN_S", 0.05)
    monkeypatch.setattr(publishing, "LOOK_EVERY_S", 0.02)


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    async with Outbox(tmp_path / "outbox.db", limit=1000, max_age_s=1e9, metrics=Metrics()) as opened:
        yield opened


@asynccontextmanager
async def running(broker: ScriptedBroker, outbox: Outbox) -> AsyncIterator[Publisher]:
    async with broker.listen(), asyncio.TaskGroup() as tasks:
        mqtt = MqttSettings(port=broker.port)
        publisher = Publisher(mqtt, outbox, {ADA: "Ada", BOB: "Bob"}.get, Metrics(), cameras=("door", "hall"))
        tasks.create_task(publisher.run())
        yield publisher
        await publisher.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("code", [NOT_AUTHORIZED, QUOTA_EXCEEDED, IMPLEMENTATION_SPECIFIC])
async def test_what_is_refused_waits_in_order_behind_its_topic_and_costs_no_connection(outbox, code):
    denied = {f"{DOOR}/{ADA}"}
    broker = ScriptedBroker(lambda topic, _: code if topic in denied else 0)
    words = [f"a{number}u" for number in range(1, 80)]
    async with running(broker, outbox) as publisher:
        for word in words:
            outbox.put(due(word))
            outbox.put(due(word.replace("a", "b"), camera="hall"))
        await until(lambda: len(broker.words(HALL)) == len(words))
        await until(lambda: f"{DOOR}/{ADA}" in publisher.trouble)
        assert broker.words(DOOR) == []
        assert broker.refused.count(f"{DOOR}/{ADA}") < len(words) / 2, "one at a time, and tried again"
        denied.clear()
        await until(lambda: len(set(broker.words(DOOR))) == len(words))
        await until(lambda: not publisher.trouble)

    assert list(dict.fromkeys(broker.words(DOOR))) == words
    assert broker.words(HALL) == [word.replace("a", "b") for word in words]


@pytest.mark.parametrize("code", [QUOTA_EXCEEDED, TOO_LARGE])
async def test_a_refusal_is_never_overtaken_by_what_is_smaller(outbox, code):
    """Sizes as they come, the limit between them: nothing goes before what waits.

    paho does not know TOO_LARGE in an acknowledgement, and gives the connection up.
    """
    limit = [1000]
    broker = ScriptedBroker(lambda topic, payload: code if len(payload) > limit[0] and "identity" in topic else 0)
    words = [f"a{number}u" for number in range(1, 40)]
    async with running(broker, outbox):
        for number, word in enumerate(words):
            item = due(word)
            event = item.event.model_copy(update={"track_ids": ["door-1" * (60 if number % 7 == 5 else 1)]})
            outbox.put(type(item)(event, item.levels))
        await until(lambda: broker.refused)
        assert list(dict.fromkeys(broker.words(DOOR))) == words[:5]
        limit[0] = 10_000
        await until(lambda: len(set(broker.words(DOOR))) == len(words))

    assert list(dict.fromkeys(broker.words(DOOR))) == words


async def test_what_is_for_two_topics_is_taken_on_one_and_sent_again_on_the_other_alone(outbox):
    denied = {f"{DOOR}/{ADA}"}
    broker = ScriptedBroker(lambda topic, _: NOT_AUTHORIZED if topic in denied else 0)
    async with running(broker, outbox) as publisher:
        outbox.put(due("a1n", person=None))
        change = due("a2u")
        outbox.put(type(change)(change.event, ("unknown", ADA)))
        outbox.put(due("a3e"))
        outbox.put(due("b1n", person=None))
        await until(lambda: publisher.trouble)
        await until(lambda: len(broker.refused) > 3)
        assert broker.words(DOOR) == ["a1n", "a2u"], "and b1n waits for a2u, which is for its topic, too"
        denied.clear()
        await until(lambda: len(broker.words(DOOR)) == 5)

    assert broker.words(f"{DOOR}/unknown") == ["a1n", "a2u", "b1n"]
    assert broker.words(f"{DOOR}/{ADA}") == ["a2u", "a3e"]


@pytest.mark.parametrize("receive_maximum", [1, 5, 65_535])
async def test_no_more_is_on_its_way_than_the_broker_wants(outbox, receive_maximum):
    broker = ScriptedBroker(lambda *_: 0, receive_maximum=receive_maximum)
    for item in dues(" ".join(f"{visit}1u" for visit in "abcdefghijklmnopqrstuvwxyz" * 4)):
        outbox.put(item)
    await outbox.flush()
    async with running(broker, outbox):
        await until(lambda: len(broker.words(DOOR)) == 104)

    assert 1 <= broker.most_at_once <= min(receive_maximum, 50)


async def test_a_broker_that_says_that_our_id_is_taken_is_believed_at_once(outbox):
    broker = ScriptedBroker(lambda *_: 0)
    async with broker.listen():
        publisher = Publisher(MqttSettings(port=broker.port), outbox, {}.get, Metrics())
        running = asyncio.create_task(publisher.run())
        await until(lambda: publisher.connected)
        broker.hang_up(TAKEN_OVER)
        with pytest.raises(BrokerIdTaken, match=r"another mqtt\.client_id"):
            await running
