"""What the publisher sends, to a broker in this process: topics, payloads, names, retained states, their erasure."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from streamer.errors import BrokerLost, BrokerUnreachable
from streamer.events.outbox import Outbox
from streamer.mqtt.broker_check import NO_REASONS, try_broker
from streamer.mqtt.embedded_broker import embedded_broker
from streamer.mqtt.publisher import Publisher
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from tests.live.service import until
from tests.streamer.listener import Heard, listening
from tests.streamer.messages import ADA, BOB, due, dues

NAMES = {ADA: "Ada Lovelace", BOB: "Bob"}
NOW = 1_763_674_512.0
LAST_SEEN = f"whosthere/people/{ADA}/last_seen"


class Rig:
    """A broker, somebody who hears all of it, an outbox and a publisher that is running."""

    def __init__(self, port: int, heard: Heard, outbox: Outbox, metrics: Metrics, names: dict[str, str]) -> None:
        self.port, self.heard, self.outbox, self.metrics = port, heard, outbox, metrics
        self.mqtt = MqttSettings(port=port)
        self.names = names
        self.wall_s = 1000.25

    def publisher(self, **changes: object) -> Publisher:
        mqtt = self.mqtt.model_copy(update=changes)
        return Publisher(mqtt, self.outbox, self.names.get, self.metrics, now=self.unix_s)

    def unix_s(self) -> float:
        return self.wall_s

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"whosthere_{name}", labels)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    metrics, rigs = Metrics(), []
    async with (
        embedded_broker() as port,
        listening(port) as heard,
        Outbox(
            tmp_path / "outbox.db",
            limit=1000,
            max_age_s=1e9,
            metrics=metrics,
            now=lambda: 1000.0,
            unix_s=lambda: rigs[0].unix_s(),
        ) as outbox,
    ):
        rigs.append(Rig(port, heard, outbox, metrics, dict(NAMES)))
        yield rigs[0]


@asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[None]:
    """run() inside, a clean stop at the end."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.run())
        yield
        await publisher.stop()


async def test_an_event_goes_to_its_topic_with_what_is_known_when_it_is_sent(rig):
    rig.outbox.put(due("a1n", captured_at=1000.0))
    async with running(rig.publisher()):
        await rig.heard.until(rig.heard.events)
    ((topic, payload, retained),) = [m for m in rig.heard.messages if "/identity/" in m[0]]
    event = json.loads(payload)

    assert topic == f"whosthere/cameras/door/identity/{ADA}"
    assert not retained
    assert event["person"] == {"id": ADA, "name": "Ada Lovelace"}
    assert event["published_at"] == 1000.25
    assert event["latency_ms"]["total"] == 250.0
    assert rig.sample("event_latency_seconds_count") == 1
    assert rig.sample("event_latency_seconds_sum") == 0.25
    assert rig.sample("stage_seconds_count", stage="publish") == 1


async def test_a_change_of_identity_goes_to_both_topics_and_counts_once(rig):
    rig.outbox.put(due("a2u", person=None, previous=ADA))
    async with running(rig.publisher()):
        await rig.heard.until(lambda: len(rig.heard.events()) == 2)
        await rig.outbox.flush()
        await until(lambda: rig.sample("event_latency_seconds_count"))
    topics = [topic for topic, _, _ in rig.heard.messages if "/identity/" in topic]

    assert topics == [f"whosthere/cameras/door/identity/{level}" for level in (ADA, "unknown")]
    assert rig.heard.events()[0] == rig.heard.events()[1]
    assert rig.heard.events()[0].previous_person is not None
    assert rig.heard.events()[0].previous_person.name == "Ada Lovelace"
    assert rig.sample("event_latency_seconds_count") == 1
    assert await rig.outbox.peek(10) == []


async def test_the_end_of_a_visit_has_no_part_in_the_latency(rig):
    for item in dues("a1n a2e"):
        rig.outbox.put(item)
    async with running(rig.publisher()):
        await rig.heard.until(lambda: rig.heard.words() == ["a1n", "a2e"])

    assert rig.sample("event_latency_seconds_count") == 1
    assert rig.sample("stage_seconds_count", stage="publish") == 2


@pytest.mark.parametrize("why", ["names are not to be published", "the person is forgotten"])
async def test_an_id_without_a_name(rig, why):
    if why == "the person is forgotten":
        rig.names.clear()
    rig.outbox.put(due("a1n"))
    async with running(rig.publisher(publish_names="forgotten" in why)):
        await rig.heard.until(rig.heard.events)

    assert [payload for _, payload, _ in rig.heard.messages if b"Lovelace" in payload] == []
    (event,) = rig.heard.events()
    assert event.person is not None
    assert (event.person.id, event.person.name) == (ADA, None)


async def test_a_name_is_the_one_at_the_time_of_sending(rig):
    rig.outbox.put(due("a1n"))
    await rig.outbox.flush()
    rig.names[ADA] = "Countess Lovelace"
    async with running(rig.publisher()):
        await rig.heard.until(rig.heard.events)

    assert rig.heard.events()[0].person.name == "Countess Lovelace"


@pytest.mark.parametrize("publish_names", [True, False])
async def test_those_whom_it_may_be_are_named_as_others_are(rig, publish_names):
    rig.names[BOB] = "Robert Boyle"
    rig.outbox.put(due("a1n", candidates=(ADA, BOB)))
    async with running(rig.publisher(publish_names=publish_names)):
        await rig.heard.until(rig.heard.events)

    (event,) = rig.heard.events()
    assert (event.person, event.decision) == (None, "ambiguous")
    names = (rig.names[ADA], "Robert Boyle") if publish_names else (None, None)
    assert [(one.id, one.name, one.similarity) for one in event.candidates] == [
        (ADA, names[0], 0.6),
        (BOB, names[1], 0.6),
    ]
    assert [topic.rpartition("/")[2] for topic, payload, _ in rig.heard.messages if b"identity/1" in payload] == [
        "unknown"
    ]


async def test_many_messages_keep_their_order(rig):
    words = [f"a{number}u" for number in range(1, 301)]
    for item in dues(" ".join(words)):
        rig.outbox.put(item)
    async with running(rig.publisher()):
        await rig.heard.until(lambda: len(rig.heard.events()) == len(words))

    assert rig.heard.words() == words


async def test_available_says_online_and_offline_and_state_that_it_was_meant(rig):
    publisher = rig.publisher()
    assert not publisher.connected
    async with running(publisher):
        await until(lambda: publisher.connected)
        assert rig.sample("broker_up") == 1
    await rig.heard.until(lambda: len(rig.heard.on("whosthere/available")) == 2)

    assert rig.heard.on("whosthere/available") == [b"online", b"offline"]
    assert rig.heard.on("whosthere/service/state") == [b"running", b"stopped"]
    told = [payload for topic, payload, _ in rig.heard.messages if topic.endswith(("available", "state"))]
    assert told == [b"online", b"running", b"stopped", b"offline"]
    assert not publisher.connected
    assert rig.sample("broker_up") == 0


async def test_what_was_put_before_a_stop_is_sent_before_offline(rig):
    publisher = rig.publisher()
    async with running(publisher):
        await until(lambda: publisher.connected)
        for item in dues("a1n a2e"):
            rig.outbox.put(item)
        await rig.outbox.flush()
    await rig.heard.until(lambda: rig.heard.on("whosthere/available")[-1:] == [b"offline"])

    assert rig.heard.words() == ["a1n", "a2e"]
    assert rig.heard.messages[-1][:2] == ("whosthere/available", b"offline")


async def test_a_publisher_that_is_cancelled_did_not_stop_cleanly_and_says_offline(rig):
    publisher = rig.publisher()
    task = asyncio.create_task(publisher.run())
    await until(lambda: publisher.connected)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await rig.heard.until(lambda: rig.heard.on("whosthere/available")[-1:] == [b"offline"])


async def test_a_publisher_that_is_stopped_does_not_connect_again(rig):
    publisher = rig.publisher()
    await publisher.stop()
    await publisher.run()

    assert rig.heard.messages == []


async def test_states_are_retained_and_sent_when_they_change(rig):
    topic = "whosthere/cameras/door/status"
    publisher = rig.publisher()
    publisher.set_model({"signature": "s"})
    publisher.set_camera_status("door", "offline", "starting")
    publisher.set_camera_status("door", "online")
    async with running(publisher):
        await rig.heard.until(lambda: rig.heard.on(topic) and rig.heard.on("whosthere/service/model"))
        publisher.set_camera_status("door", "online")
        publisher.set_camera_status("door", "offline", "stream_lost")
        await rig.heard.until(lambda: len(rig.heard.on(topic)) == 2)
        async with listening(rig.port, "whosthere/cameras/+/status") as late:
            await late.until(lambda: late.messages)

    assert [json.loads(payload) for payload in rig.heard.on(topic)] == [
        {"state": "online", "since": 1000.25, "reason": None},
        {"state": "offline", "since": 1000.25, "reason": "stream_lost"},
    ]
    assert set(late.messages) == {(topic, rig.heard.on(topic)[-1], True)}
    assert rig.heard.on("whosthere/service/model") == [b'{"signature":"s"}']


async def test_last_seen_is_the_newest_sighting_of_somebody_enrolled(rig):
    del rig.names[BOB]
    for item in (due("a1n", captured_at=900.0), due("b1n", person=BOB), due("c1n", captured_at=800.0, camera="hall")):
        rig.outbox.put(item)
    async with running(rig.publisher()):
        await rig.heard.until(lambda: len(rig.heard.events()) == 3 and rig.heard.on(LAST_SEEN))

    assert json.loads(rig.heard.on(LAST_SEEN)[-1]) == {
        "camera": "door",
        "at": 900.0,
        "similarity": 0.7,
        "event_id": due("a1n").event.event_id,
    }
    assert [payload for payload in rig.heard.on(f"whosthere/people/{BOB}/last_seen") if payload] == []


async def test_forgetting_a_person_erases_what_is_retained(rig):
    publisher = rig.publisher()
    async with running(publisher):
        rig.outbox.put(due("a1n"))
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN))
        del rig.names[ADA]
        publisher.gallery_changed([ADA, BOB])
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN)[-1] == b"")
        await until(lambda: ADA not in rig.outbox.last_seen)
        rig.outbox.put(due("a2e"))
        await rig.heard.until(lambda: rig.heard.words() == ["a1n", "a2e"])

    assert rig.heard.on(LAST_SEEN)[-1] == b""
    assert rig.heard.on(f"whosthere/people/{BOB}/last_seen") == []


async def test_who_was_forgotten_while_we_were_away_is_erased_on_connecting(rig):
    async with running(rig.publisher()):
        rig.outbox.put(due("a1n"))
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN))
    del rig.names[ADA]
    async with running(rig.publisher()):
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN)[-1] == b"")
        await until(lambda: ADA not in rig.outbox.last_seen)
    async with listening(rig.port, "whosthere/people/#") as late, running(rig.publisher()):
        await rig.heard.until(lambda: rig.heard.on("whosthere/service/state").count(b"stopped") == 2)

    assert late.messages == []


async def test_nothing_is_retained_of_who_is_forgotten_and_nothing_waits_that_names_them(rig):
    publisher = rig.publisher()
    publisher.add_camera("door")
    mine, there = f"whosthere/people/{ADA}/present", "whosthere/cameras/door/present"
    async with running(publisher):
        rig.outbox.put(due("a1n"))
        rig.outbox.put(due("b1n", person=BOB))
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN) and rig.heard.on(mine))
        del rig.names[ADA]
        publisher.forget(rig.outbox.forget([ADA]))
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN)[-1] == rig.heard.on(mine)[-1] == b"")
        await rig.heard.until(lambda: json.loads(rig.heard.on(there)[-1])["unknown"] == 1)
        rig.outbox.put(due("a2e"))
        await rig.heard.until(lambda: "a2e" in rig.heard.words())
    assert [person["id"] for person in json.loads(rig.heard.on(there)[-1])["people"]] == [BOB]
    (end,) = [m for m in rig.heard.messages if b'"type":"end"' in m[1]]
    assert end[0] == "whosthere/cameras/door/identity/unknown"
    assert ADA.encode() not in end[1]
    assert ADA not in str([vars(part) for part in (publisher._pump, publisher._presence, publisher._retained)])


async def test_what_the_broker_retains_of_who_was_forgotten_long_ago_is_erased_at_each_start(rig):
    """It may have been away, or have been given back what it had before."""
    async with running(rig.publisher()):
        rig.outbox.put(due("a1n"))
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN))
    rig.outbox.forget([ADA])
    await rig.outbox.flush()
    del rig.names[ADA]
    publisher = rig.publisher()
    publisher.forget([ADA])
    async with running(publisher):
        await rig.heard.until(lambda: rig.heard.on(LAST_SEEN)[-1] == b"")
        await rig.heard.until(lambda: rig.heard.on(f"whosthere/people/{ADA}/present")[-1] == b"")
    async with listening(rig.port, "whosthere/people/+/last_seen") as late, running(rig.publisher()):
        await rig.heard.until(lambda: rig.heard.on("whosthere/service/state").count(b"stopped") == 2)
    assert late.messages == []


async def test_a_broker_that_is_not_there_is_one_line_without_the_login(free_port, rig):
    login = {"port": free_port, "username": "user", "password": SecretStr("hunter2")}
    with pytest.raises(BrokerUnreachable, match=rf"^broker 127\.0\.0\.1:{free_port} can't be reached") as caught:
        await rig.publisher(**login).run()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(BrokerUnreachable):
        await try_broker(MqttSettings(port=free_port))


async def test_a_fault_is_counted_each_time_and_logged_once(rig, caplog):
    publisher = rig.publisher()
    for _ in range(3):
        publisher.failed("broker", BrokerUnreachable("broker x can't be reached"))
    publisher.failed("broker", BrokerLost("broker x: the connection is lost"))

    assert rig.sample("broker_errors_total", code="broker_unreachable") == 3
    assert [record.message for record in caplog.records] == [
        "broker x can't be reached",
        "broker x: the connection is lost",
    ]


async def test_a_bug_of_ours_is_not_taken_for_a_lost_broker(rig):
    def broken(_: str) -> str | None:
        if publisher.connected:
            raise ZeroDivisionError
        return None

    publisher = Publisher(rig.mqtt, rig.outbox, broken, rig.metrics)
    rig.outbox.put(due("a1n"))
    run: Coroutine[None, None, None] = publisher.run()
    with pytest.raises(ExceptionGroup) as caught:
        await run
    assert caught.group_contains(ZeroDivisionError)


async def test_what_was_retained_in_this_run_is_told_by_a_clock_that_was_set(rig):
    """Boots in 1970, and learns better while it runs."""
    publisher = rig.publisher()
    publisher.set_camera_status("door", "online")
    rig.outbox.put(replace(due("a1n", captured_at=990.0), captured_s=time.monotonic() - 10.25))
    status, before = "whosthere/cameras/door/status", NOW - 1000.25
    async with running(publisher):
        await rig.heard.until(lambda: rig.heard.on(status) and rig.heard.on(LAST_SEEN))
        rig.wall_s += before
        publisher.clock_stepped(before)
        await rig.heard.until(lambda: len(rig.heard.on(status)) == 2 and len(rig.heard.on(LAST_SEEN)) >= 2)
    assert [json.loads(said)["since"] for said in rig.heard.on(status)] == [1000.25, NOW]
    assert json.loads(rig.heard.on(LAST_SEEN)[-1])["at"] == pytest.approx(NOW - 10.25, abs=0.5)


async def test_who_leaves_after_the_clock_was_set_was_last_seen_by_the_new_one(rig):
    """The `end` tells of the last picture, which is of before."""
    publisher = rig.publisher()
    present, step_s, seen_s = f"whosthere/people/{ADA}/present", NOW - 1000.25, time.monotonic() - 10.25
    rig.outbox.put(replace(due("a1n", captured_at=980.0), captured_s=seen_s - 10.0))
    async with running(publisher):
        await rig.heard.until(lambda: rig.heard.on(present) and rig.heard.on(LAST_SEEN))
        rig.wall_s += step_s
        publisher.clock_stepped(step_s)
        rig.outbox.put(replace(due("a2e", captured_at=990.0), captured_s=seen_s))
        await rig.heard.until(
            lambda: not json.loads(rig.heard.on(present)[-1])["present"] and len(rig.heard.events()) == 2
        )
    left_at = pytest.approx(NOW - 10.25, abs=0.5)
    assert json.loads(rig.heard.on(LAST_SEEN)[-1])["at"] == left_at
    assert json.loads(rig.heard.on(present)[-1])["since"] == left_at


@pytest.mark.parametrize(("version", "own", "times"), [("auto", False, 1), ("3.1.1", False, 1), ("3.1.1", True, 0)])
async def test_a_broker_of_3_1_1_is_warned_of_once(rig, caplog, version, own, times):
    mqtt = MqttSettings(port=rig.port, version=version)
    publisher = Publisher(mqtt, rig.outbox, rig.names.get, rig.metrics, own_broker=own)
    for _ in range(2):
        run = asyncio.create_task(publisher.run())
        await until(lambda: publisher.connected)
        run.cancel()
        await asyncio.wait((run,))

    said = [record.levelname for record in caplog.records if NO_REASONS in record.message]
    assert said == ["WARNING"] * times
    assert await try_broker(mqtt) == "3.1.1"
