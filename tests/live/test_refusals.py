"""A broker that takes some messages and not others: its ACL, its limits of size, mended or not, over both versions."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from streamer.errors import BrokerTopicRefused
from streamer.events.event import IdentityEvent
from streamer.events.outbox import Outbox
from streamer.mqtt import refusals
from streamer.mqtt.broker_check import NO_REASONS, try_broker
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.subscriber import follow
from streamer.settings import MqttSettings
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from tests.live.mosquitto import Mosquitto
from tests.live.service import until
from tests.streamer.listener import Heard, listening
from tests.streamer.messages import ADA, BOB, due

pytestmark = pytest.mark.live

# As it comes; and so set, mosquitto 2.0.11 ends the connection over each message that it refuses.
SETUPS = {"as it comes": (), "hangs up": ("max_queued_messages 0",)}
DOOR, HALL = "whosthere/cameras/door", "whosthere/cameras/hall"
# Everything may be read, so that somebody can hear it; written what is named.
READ = "topic read #\n"
ALL = READ + "topic write whosthere/#\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "TRY_AGAIN_S", 0.5)


@pytest.fixture(params=SETUPS)
def broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder, acl=ALL, more=SETUPS[request.param]) as running:
        yield running


@asynccontextmanager
async def publishing(port: int, outbox: Outbox, metrics: Metrics, version: str = "auto") -> AsyncIterator[Publisher]:
    mqtt = MqttSettings(port=port, version=version)
    publisher = Publisher(mqtt, outbox, {ADA: "Ada", BOB: "Bob"}.get, metrics)
    for camera in ("door", "hall", "gate"):
        publisher.add_camera(camera)
    task = asyncio.create_task(
        supervise("broker", publisher.run, publisher.failed, first_delay_s=0.05, longest_delay_s=0.2)
    )
    try:
        yield publisher
        await publisher.stop()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def words(heard: Heard, topic: str) -> list[str]:
    """Of the events on topics that begin so, each once: a message may be sent again."""
    events = [word for (name, _, _), word in zip(_events(heard), heard.words(), strict=True) if name.startswith(topic)]
    return list(dict.fromkeys(events))


def _events(heard: Heard) -> list[tuple[str, bytes, bool]]:
    return [message for message in heard.messages if "/identity/" in message[0]]


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"whosthere_{name}", labels)


def write_acl(*allowed: str) -> str:
    return READ + "".join(
        f"topic write {topic}\n" for topic in ("whosthere/available", "whosthere/service/#", *allowed)
    )


async def test_a_denied_camera_waits_in_order_and_the_others_go_on(broker, outbox, metrics):
    broker.allow(write_acl(f"{HALL}/#", "whosthere/cameras/gate/#", "whosthere/people/#"))
    async with (
        listening(broker.port, "whosthere/cameras/#") as heard,
        publishing(broker.port, outbox, metrics) as publisher,
    ):
        for number in range(1, 9):
            outbox.put(due(f"a{number}u"))
            outbox.put(due(f"b{number}u", camera="hall"))
            outbox.put(due(f"c{number}u", camera="gate", person=BOB))
        gone_on = [[f"{visit}{number}u" for number in range(1, 9)] for visit in "bc"]
        await heard.until(lambda: [words(heard, f"whosthere/cameras/{c}") for c in ("hall", "gate")] == gone_on)
        await until(lambda: sample(metrics, "outbox_set_aside") == 8)
        assert words(heard, DOOR) == []
        assert f"{DOOR}/identity/{ADA}" in publisher.trouble
        assert "check its ACL" in publisher.trouble
        assert (sample(metrics, "broker_refused_topics") or 0) >= 1
        outbox.put(due("d1n", camera="hall"))
        await heard.until(lambda: words(heard, HALL)[-1:] == ["d1n"])

        broker.allow(ALL)
        await heard.until(lambda: len(words(heard, DOOR)) == 8)
        await until(lambda: not publisher.trouble)
        outbox.put(due("a9e"))
        await heard.until(lambda: words(heard, DOOR)[-1:] == ["a9e"])
        await until(lambda: sample(metrics, "outbox_depth") == 0)

    assert words(heard, DOOR) == [f"a{number}u" for number in range(1, 9)] + ["a9e"]
    assert sample(metrics, "outbox_set_aside") == 0
    assert sample(metrics, "outbox_dropped_total") == 0
    assert json.loads(heard.on(f"{DOOR}/present")[-1])["people"] == []


async def test_what_is_for_two_topics_waits_for_both_and_holds_what_comes_after_it(broker, outbox, metrics):
    """A visit that was unknown and gets a name, where `unknown` is denied: nothing of it goes before its beginning."""
    broker.allow(write_acl(f"{DOOR}/identity/{ADA}", f"{DOOR}/present", f"{HALL}/#", "whosthere/cameras/gate/#"))
    async with listening(broker.port, "whosthere/cameras/#") as heard, publishing(broker.port, outbox, metrics):
        outbox.put(due("z1n"))
        await heard.until(lambda: words(heard, DOOR) == ["z1n"])
        outbox.put(due("a1n", person=None))
        outbox.put(due("b1n", camera="hall"))
        change = due("a2u")
        outbox.put(type(change)(change.event, ("unknown", ADA)))
        outbox.put(due("a3e"))
        outbox.put(due("z2e"))
        await heard.until(lambda: words(heard, HALL) == ["b1n"])
        await until(lambda: sample(metrics, "outbox_set_aside") == 4)
        assert words(heard, DOOR) == ["z1n"]
        broker.allow(ALL)
        await heard.until(lambda: "z2e" in words(heard, DOOR))
        await until(lambda: sample(metrics, "outbox_depth") == 0)

    assert words(heard, f"{DOOR}/identity/unknown") == ["a1n", "a2u"]
    assert words(heard, f"{DOOR}/identity/{ADA}") == ["z1n", "a2u", "a3e", "z2e"]


@pytest.mark.parametrize(
    ("limit", "version"), [("message_size_limit", "auto"), ("max_packet_size", "auto"), ("max_packet_size", "3.1.1")]
)
async def test_a_message_that_is_too_large_holds_up_its_topic_alone(tmp_path, outbox, metrics, limit, version):
    folder = tmp_path / "small"
    folder.mkdir()
    large = [f"{number}" for number in range(200)]
    with Mosquitto(folder, acl=ALL, more=[f"{limit} 1500"]) as broker:
        async with (
            listening(broker.port, "whosthere/cameras/#") as heard,
            publishing(broker.port, outbox, metrics, version) as publisher,
        ):
            outbox.put(due("a1n"))
            await heard.until(lambda: words(heard, DOOR) == ["a1n"])
            item = due("a2u")
            outbox.put(type(item)(item.event.model_copy(update={"track_ids": large}), item.levels))
            outbox.put(due("a3e"))
            outbox.put(due("b1n", camera="hall"))
            outbox.put(due("b2e", camera="hall"))
            await heard.until(lambda: words(heard, HALL) == ["b1n", "b2e"])
            await until(lambda: sample(metrics, "outbox_set_aside") == 2)
            assert words(heard, DOOR) == ["a1n"]
            assert f"{DOOR}/identity/{ADA}" in publisher.trouble
            assert sample(metrics, "broker_refused_topics") == 1
        broker.stop()
        broker.configure([])
        broker.start()
        async with (
            listening(broker.port, "whosthere/cameras/#") as heard,
            publishing(broker.port, outbox, metrics, version),
        ):
            await heard.until(lambda: len(words(heard, DOOR)) == 2)

    assert words(heard, DOOR) == ["a2u", "a3e"]


async def test_one_of_two_cameras_is_denied_for_a_while_and_all_its_visits_arrive(broker, outbox, metrics):
    async with listening(broker.port, "whosthere/cameras/#") as heard, publishing(broker.port, outbox, metrics):
        told: list[str] = []
        for phase, rules in enumerate((ALL, write_acl(f"{HALL}/#", "whosthere/people/#"), ALL)):
            broker.allow(rules)
            for visit in "abcdefgh":
                name = f"{visit}{'xyz'[phase]}"
                for word in (f"{name}1n", f"{name}2u", f"{name}3e"):
                    outbox.put(due(word, person=(ADA, BOB)[phase % 2]))
                    outbox.put(due(word.replace(name, f"h{name}"), camera="hall"))
                    told.append(word)
            await heard.until(lambda: len(words(heard, HALL)) == len(told))
        await heard.until(lambda: len(words(heard, DOOR)) == len(told))

    for person, phases in ((ADA, "xz"), (BOB, "y")):
        expected = [word for word in told if word[1] in phases]
        assert words(heard, f"{DOOR}/identity/{person}") == expected


async def test_states_that_are_denied_hold_up_nothing(broker, outbox, metrics):
    broker.allow(READ + f"topic write {DOOR}/identity/#\n")
    async with listening(broker.port, "whosthere/#") as heard, publishing(broker.port, outbox, metrics) as publisher:
        publisher.set_camera_status("door", "online")
        outbox.put(due("a1n"))
        await heard.until(lambda: words(heard, DOOR) == ["a1n"])
        denied = {f"{DOOR}/status", "whosthere/available", "whosthere/service/state", "whosthere/service/check"}
        await until(lambda: denied <= refused(publisher))
        await until(lambda: (sample(metrics, "broker_errors_total", code="broker_topic_refused") or 0) > 20)
        assert denied <= refused(publisher), "tried again, and refused again"
        assert heard.on("whosthere/available") in ([], [b"offline"])
        broker.allow(ALL)
        await heard.until(lambda: heard.on("whosthere/available")[-1:] == [b"online"])
        await heard.until(lambda: heard.on("whosthere/service/state")[-1:] == [b"running"])
        await heard.until(lambda: heard.on(f"{DOOR}/status") and heard.on(f"whosthere/people/{ADA}/last_seen"))
        await until(lambda: not publisher.trouble)


def refused(publisher: Publisher) -> frozenset[str]:
    return publisher._refusals.topics


async def test_what_waits_for_the_broker_does_not_push_out_what_it_would_take(broker, tmp_path, metrics):
    """An outbox that is full of denied messages gives up those, as it does with the oldest of any that wait."""
    broker.allow(write_acl(f"{HALL}/#", "whosthere/people/#"))
    async with (
        Outbox(tmp_path / "small.db", limit=20, max_age_s=1e9, metrics=metrics) as outbox,
        listening(broker.port, "whosthere/cameras/#") as heard,
        publishing(broker.port, outbox, metrics),
    ):
        for number in range(1, 41):
            outbox.put(due(f"a{number}u"))
            await outbox.flush()
            if number in (1, 40):  # what is on its way is not given up
                await until(lambda: (sample(metrics, "outbox_set_aside") or 0) >= min(number, 20))  # noqa: B023
        assert sample(metrics, "outbox_depth") == 20
        for number in range(1, 41):
            outbox.put(due(f"b{number}u", camera="hall"))
            await outbox.flush()
            await heard.until(lambda: len(words(heard, HALL)) == number)  # noqa: B023
        broker.allow(ALL)
        await heard.until(lambda: words(heard, DOOR)[-1:] == ["a40u"])
        await until(lambda: sample(metrics, "outbox_depth") == 0)

    assert 15 <= len(words(heard, DOOR)) <= 20
    assert words(heard, DOOR) == sorted(words(heard, DOOR), key=lambda word: int(word[1:-1]))


async def test_check_says_which_topic_is_refused(broker):
    mqtt = MqttSettings(port=broker.port)
    assert await try_broker(mqtt) == "5"
    broker.allow(READ + "topic write whosthere/cameras/#\n")
    with pytest.raises(BrokerTopicRefused, match=r"refuses topic whosthere/service/check .*check its ACL"):
        await try_broker(mqtt)


async def test_over_3_1_1_a_denied_message_is_acknowledged_and_lost_and_that_is_said(tmp_path, outbox, metrics, caplog):
    """Nothing is there to be noticed, and nothing else is harmed."""
    folder = tmp_path / "old"
    folder.mkdir()
    with Mosquitto(folder, acl=write_acl(f"{HALL}/#", "whosthere/people/#")) as broker:
        async with (
            listening(broker.port, "whosthere/cameras/#") as heard,
            publishing(broker.port, outbox, metrics, "3.1.1"),
        ):
            for number in range(1, 4):
                outbox.put(due(f"a{number}u"))
                outbox.put(due(f"b{number}u", camera="hall"))
            await heard.until(lambda: words(heard, HALL) == ["b1u", "b2u", "b3u"])
            await until(lambda: sample(metrics, "outbox_depth") == 0)
    assert words(heard, DOOR) == []
    assert [NO_REASONS in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]


@pytest.mark.parametrize("version", ["auto", "5", "3.1.1"])
@pytest.mark.parametrize("wants", ["clientid_prefixes whosthere", "allow_zero_length_clientid false"])
async def test_a_broker_that_wants_certain_client_ids(tmp_path, outbox, metrics, wants, version):
    folder = tmp_path / "choosy"
    folder.mkdir()
    told: list[IdentityEvent] = []
    listens = asyncio.Event()
    with Mosquitto(folder, acl=ALL if version == "3.1.1" else write_acl(), more=[wants]) as broker:
        mqtt = MqttSettings(port=broker.port, version=version)
        assert await try_broker(mqtt) == ("3.1.1" if version == "3.1.1" else "5")
        following = asyncio.create_task(follow(mqtt, on_event=told.append, count=2, on_listening=listens.set))
        async with asyncio.timeout(20), publishing(broker.port, outbox, metrics, version):
            await listens.wait()
            for word in ("a1n", "a2e"):
                outbox.put(due(word))
            if version != "3.1.1":
                await until(lambda: sample(metrics, "outbox_set_aside") == 2)
                broker.allow(ALL)
            await following
    assert [event.seq for event in told] == [1, 2]
