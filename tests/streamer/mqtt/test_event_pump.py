"""Events past a broker of MQTT 5 that refuses some of them and stays: their order, their number, their turn."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer.errors import BrokerIdTaken
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import OutboxFile, Stored
from streamer.mqtt import connection, refusals
from streamer.mqtt import publisher as publishing
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.sender import IN_FLIGHT
from streamer.settings import MqttSettings
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from tests.live.service import until
from tests.streamer.messages import ADA, BOB, due, dues
from tests.streamer.mqtt.scripted_broker import (
    HANG_UP,
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
        publisher = Publisher(mqtt, outbox, {ADA: "Ada", BOB: "Bob"}.get, Metrics())
        for camera in ("door", "hall"):
            publisher.add_camera(camera)
        tasks.create_task(publisher.run())
        yield publisher
        await publisher.stop()


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
    async with running(broker, outbox) as publisher:
        for number, word in enumerate(words):
            item = due(word)
            event = item.event.model_copy(update={"track_ids": ["door-1" * (60 if number % 7 == 5 else 1)]})
            outbox.put(type(item)(event, item.levels))
        await until(lambda: "refuses topic" in publisher.trouble)
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

    assert 1 <= broker.most_at_once <= min(receive_maximum, IN_FLIGHT)


async def test_a_broker_that_says_that_our_id_is_taken_is_believed_at_once(outbox):
    broker = ScriptedBroker(lambda *_: 0)
    async with broker.listen():
        publisher = Publisher(MqttSettings(port=broker.port), outbox, {}.get, Metrics())
        running = asyncio.create_task(publisher.run())
        await until(lambda: publisher.connected)
        broker.hang_up(TAKEN_OVER)
        with pytest.raises(BrokerIdTaken, match=r"another mqtt\.client_id"):
            await running


@pytest.mark.parametrize("walk", ["the first", "the second", "both"])
async def test_an_outbox_that_can_not_be_read_for_a_moment_ends_no_walk(outbox, monkeypatch, walk):
    denied = {f"{DOOR}/{ADA}"}
    broker = ScriptedBroker(lambda topic, _: NOT_AUTHORIZED if topic in denied else 0)
    rows, faults = OutboxFile.rows, [0]

    def failing(self: OutboxFile, after: int, limit: int, without: Collection[int] = ()) -> list[Stored]:
        second = publisher._pump._again is not None and after < publisher._pump._walk.after
        if limit > 1 and faults[0] and walk in ("both", "the second" if second else "the first"):
            faults[0] -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return rows(self, after, limit, without)

    words = [f"a{number}u" for number in range(1, 10)]
    async with running(broker, outbox) as publisher:
        monkeypatch.setattr(OutboxFile, "rows", failing)
        for word in words[:-1]:
            outbox.put(due(word))
        await until(lambda: len(publisher._pump._walk.aside) == 8)
        faults[0] = 2
        denied.clear()
        if walk == "the first":
            outbox.put(due(words[-1]))
        await until(lambda: not publisher.trouble and not faults[0])
        if walk != "the first":
            outbox.put(due(words[-1]))
        await until(lambda: len(set(broker.words(DOOR))) == len(words))
    assert list(dict.fromkeys(broker.words(DOOR))) == words


async def test_a_try_that_is_not_let_in_is_said(outbox):
    denied = {f"{DOOR}/{ADA}"}
    broker = ScriptedBroker(lambda topic, _: NOT_AUTHORIZED if topic in denied else 0)
    broker.lets_in = lambda client_id: not client_id.endswith("-try")
    async with running(broker, outbox) as publisher:
        outbox.put(due("a1n"))
        await until(lambda: "it can't be tried again" in publisher.trouble)
        assert "refuses the login; check mqtt.username" in publisher.trouble
        assert f"{outbox.client_id}-try" in broker.client_ids
        broker.lets_in = lambda _: True
        denied.clear()
        await until(lambda: broker.words(DOOR) == ["a1n"])


@pytest.mark.parametrize("tries", ["are let in", "are not let in"])
async def test_what_costs_the_connection_is_set_aside_and_the_rest_goes_on(outbox, monkeypatch, tries):
    monkeypatch.setattr(connection, "ANSWER_WITHIN_S", 1e6)
    broker = ScriptedBroker(lambda topic, _: HANG_UP if topic == f"{DOOR}/{ADA}" else 0)
    broker.lets_in = lambda client_id: tries == "are let in" or not client_id.endswith("-try")
    async with broker.listen():
        publisher = Publisher(MqttSettings(port=broker.port), outbox, {}.get, Metrics())
        running = asyncio.create_task(supervise("broker", publisher.run, publisher.failed, first_delay_s=0.01))
        for word in ("a1n", "a2e"):
            outbox.put(due(word))
        for word in ("b1n", "b2e"):
            outbox.put(due(word, camera="hall"))
        await until(lambda: broker.words(HALL) == ["b1n", "b2e"] and f"{DOOR}/{ADA}" in publisher.trouble)
        await publisher.stop()
        await running


async def test_a_broker_that_hangs_up_on_who_reads_is_kept(outbox):
    broker = ScriptedBroker(lambda *_: 0, may_read=False)
    async with broker.listen():
        publisher = Publisher(MqttSettings(port=broker.port, version="5"), outbox, {}.get, Metrics())
        faults: list[str] = []
        running = asyncio.create_task(
            supervise("broker", publisher.run, lambda _, error: faults.append(error.code), first_delay_s=0.01)
        )
        await until(lambda: broker.connections == 2 and publisher.connected)
        for item in dues("a1n a2e"):
            outbox.put(item)
        await until(lambda: broker.words(DOOR) == ["a1n", "a2e"])
        await publisher.stop()
        await running
    assert (broker.connections, broker.subscriptions) == (2, 1)
    assert set(faults) <= {"broker_lost"}, "nobody is accused"


async def test_what_is_refused_of_somebody_who_is_forgotten_goes_to_unknown_in_its_order(outbox):
    """Denied topics are told nothing more; what waited behind them is told of somebody unknown."""
    broker = ScriptedBroker(lambda topic, _: NOT_AUTHORIZED if topic.endswith(ADA) else 0)
    async with running(broker, outbox) as publisher:
        for item in (due("a1n", person=None), due("a2u"), due("a3e"), due("b1n", person=BOB)):
            outbox.put(item)
        await until(lambda: f"{DOOR}/{ADA}" in publisher.trouble)
        await until(lambda: broker.words(DOOR) == ["a1n", "b1n"])
        publisher.forget(outbox.forget([ADA]))
        await until(lambda: broker.words(f"{DOOR}/unknown") == ["a1n", "a2u", "a3e"])
        await outbox.flush()
        assert await outbox.peek(10) == []
        await until(lambda: not publisher.trouble)
    assert ADA not in str(vars(publisher._pump))
