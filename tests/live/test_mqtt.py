"""Publisher, outbox and follower against a real mosquitto that is stopped, killed, cut off and started again."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiomqtt import Client, Will
from pydantic import SecretStr

from streamer.errors import BrokerLoginRefused, BrokerLost
from streamer.events.event import IdentityEvent
from streamer.events.outbox import Outbox
from streamer.mqtt.broker_check import try_broker
from streamer.mqtt.camera_commands import CameraCommands
from streamer.mqtt.connection import Broker
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.subscriber import follow
from streamer.settings import MqttSettings
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from tests.conftest import PROJECT
from tests.live.mosquitto import Mosquitto
from tests.live.service import until
from tests.streamer.listener import listening
from tests.streamer.messages import ADA, BOB, due, dues, word_of

pytestmark = pytest.mark.live

AVAILABLE = "whosthere/available"
STATE = "whosthere/service/state"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running


@pytest.fixture
def all_acknowledged(metrics: Metrics) -> Callable[[], bool]:
    return lambda: metrics.registry.get_sample_value("whosthere_outbox_depth") == 0


@asynccontextmanager
async def publishing(port: int, outbox: Outbox, **mqtt: object) -> AsyncIterator[Publisher]:
    """A publisher that connects again and again, as the service runs it, only sooner."""
    settings = MqttSettings.model_validate({"port": port} | mqtt)
    publisher = Publisher(settings, outbox, {ADA: "Ada", BOB: "Bob"}.get, Metrics())
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


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_an_outage_of_the_broker_loses_nothing_and_keeps_the_order(broker, outbox, all_acknowledged, how):
    async with (
        listening(broker.port, "whosthere/cameras/#", session="listener") as heard,
        publishing(broker.port, outbox) as publisher,
    ):
        for item in dues("a1n a2u b1n"):
            outbox.put(item)
        await heard.until(lambda: len(heard.messages) == 3)
        await until(all_acknowledged)
        getattr(broker, how)()
        await until(lambda: not publisher.connected)
        away = [f"a{seq}u" for seq in range(3, 150)] + ["a150e", "b2e", "c1n"]
        for word in away:
            outbox.put(due(word))
        await outbox.flush()
        broker.start()
        outbox.put(due("c2e"))
        await heard.until(lambda: "c2e" in heard.words())

    # The broker, too, may send again what the listener had not acknowledged when it went down.
    assert list(dict.fromkeys(heard.words())) == ["a1n", "a2u", "b1n", *away, "c2e"]


async def test_states_come_back_to_a_broker_that_lost_them(broker, outbox):
    status = "whosthere/cameras/door/status"
    async with publishing(broker.port, outbox) as publisher:
        publisher.set_camera_status("door", "online")
        publisher.set_model({"signature": "s"})
        outbox.put(due("a1n"))
        await until(lambda: publisher.connected)
        broker.stop()
        await until(lambda: not publisher.connected)
        publisher.set_camera_status("door", "stalled", "stream_stalled")
        broker.lose_everything()
        broker.start()
        await until(lambda: publisher.connected)
        async with listening(broker.port) as heard:
            wanted = [AVAILABLE, status, "whosthere/service/model", f"whosthere/people/{ADA}/last_seen"]
            await heard.until(lambda: all(heard.on(topic) for topic in wanted))

        assert heard.on(AVAILABLE) == [b"online"]
        assert json.loads(heard.on(status)[-1])["state"] == "stalled"


class Proxy:
    """Between client and broker; while `deaf`, the client hears nothing of what the broker answers."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._writers: list[asyncio.StreamWriter] = []
        self.deaf = False

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """The connections break, without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers += [writer, to_broker]
        await asyncio.gather(
            self._carry(reader, to_broker, lambda: False), self._carry(from_broker, writer, lambda: self.deaf)
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: Callable[[], bool]
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if not mute():
                    writer.write(data)
                    await writer.drain()
        writer.close()


async def test_what_was_not_acknowledged_is_sent_again_with_its_seq_and_only_that(broker, outbox, all_acknowledged):
    proxy = Proxy(broker.port)
    async with listening(broker.port, "whosthere/cameras/#") as heard, proxy.listen() as port, publishing(port, outbox):
        outbox.put(due("a1n"))
        await heard.until(heard.words)
        await until(all_acknowledged)
        proxy.deaf = True
        outbox.put(due("a2u"))
        outbox.put(due("b1n", person=BOB))
        await heard.until(lambda: len(heard.words()) == 3)
        assert not all_acknowledged()
        proxy.deaf = False
        proxy.cut()
        await heard.until(lambda: len(heard.words()) == 5)
        await until(all_acknowledged)

    assert heard.words() == ["a1n", "a2u", "b1n", "a2u", "b1n"]


@pytest.mark.parametrize(
    ("mqtt", "told"),
    [
        ({}, [b"online", b"online"]),  # it is back in time, and nobody is told that it was away
        ({"will_delay_s": 0}, [b"online", b"offline", b"online"]),
        ({"version": "3.1.1"}, [b"online", b"offline", b"online"]),
    ],
)
async def test_a_connection_that_breaks_is_told_to_everybody_by_the_last_will(broker, outbox, mqtt, told):
    proxy = Proxy(broker.port)
    async with (
        listening(broker.port, AVAILABLE) as heard,
        proxy.listen() as port,
        publishing(port, outbox, **mqtt) as publisher,
    ):
        await heard.until(lambda: heard.on(AVAILABLE) == [b"online"])
        proxy.cut()
        await until(lambda: publisher.connected and len(heard.messages) >= len(told))
        async with listening(broker.port, AVAILABLE) as late:
            await late.until(lambda: late.messages)

    assert heard.on(AVAILABLE)[: len(told)] == told
    assert late.messages == [(AVAILABLE, b"online", True)]


@pytest.mark.parametrize("mqtt", [{}, {"version": "3.1.1"}])
async def test_a_command_is_lost_while_the_service_is_away_though_its_session_is_kept(broker, mqtt):
    obeyed: list[tuple[str, bool]] = []
    commands = CameraCommands("whosthere", lambda: {"door"}, lambda *told: obeyed.append(told), Metrics())
    us = Broker(MqttSettings(port=broker.port, will_delay_s=60, **mqtt))
    will = Will(AVAILABLE, "offline", qos=1)
    with suppress(BrokerLost):
        async with us.connect(client_id="us", will=will) as client:
            await commands.subscribe(client)
            client._hang_up()
            async for _ in client.messages:
                pass
    async with Client("127.0.0.1", broker.port) as other:
        await other.publish("whosthere/cameras/door/enabled/set", "OFF", qos=1)
        async with us.connect(client_id="us", will=will) as client:
            await commands.subscribe(client)
            await other.publish("whosthere/cameras/door/enabled/set", "ON", qos=1)
            async with asyncio.timeout(10):
                async for message in client.messages:
                    assert commands.heard(message)
                    if obeyed[-1] == ("door", True):
                        break
    assert obeyed == [("door", True)]


SERVICE = """
import asyncio, sys
from pathlib import Path
from streamer.telemetry.metrics import Metrics
from streamer.events.outbox import Outbox
from streamer.mqtt.publisher import Publisher
from streamer.settings import MqttSettings
from tests.streamer.messages import ADA, dues

async def main():
    async with Outbox(Path(sys.argv[1]), limit=1000, max_age_s=1e9, metrics=Metrics()) as outbox:
        publisher = Publisher(MqttSettings(port=int(sys.argv[2])), outbox, {ADA: "Ada"}.get, Metrics())
        task = asyncio.create_task(publisher.run())
        for item in dues(sys.argv[3]):
            outbox.put(item)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_service_that_is_killed_is_offline_and_its_visits_end_at_the_next_start(broker, tmp_path):
    path = tmp_path / "killed.db"
    async with listening(broker.port) as heard:
        with subprocess.Popen(
            [sys.executable, "-c", SERVICE, str(path), str(broker.port), "a1n b1n b2e a2u"], cwd=PROJECT
        ) as service:
            await heard.until(lambda: len(heard.words()) == 4)
            service.send_signal(signal.SIGKILL)
        await heard.until(lambda: heard.on(AVAILABLE)[-1:] == [b"offline"])
        for _ in range(2):
            async with (
                Outbox(path, limit=1000, max_age_s=1e9, metrics=Metrics()) as outbox,
                publishing(broker.port, outbox) as publisher,
            ):
                await until(lambda publisher=publisher: publisher.connected)
        await heard.until(lambda: heard.on(AVAILABLE) == [b"online", b"offline"] + 2 * [b"online", b"offline"])
    words, last = heard.words(), heard.events()[-1]

    assert words[:4] == ["a1n", "b1n", "b2e", "a2u"]
    # Killed between the broker's acknowledgement and our note of it: that message may come twice, and no other.
    assert set(words) == {"a1n", "b1n", "b2e", "a2u", "a3e"}
    assert words.count("a3e") == 1
    assert (last.type, last.end_reason) == ("end", "interrupted")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "locked"
    folder.mkdir()
    with Mosquitto(folder, users={"whosthere": "hunter2"}) as running:
        yield running


async def test_a_login_that_is_refused_has_its_code_and_is_tried_again_slowly(locked, outbox, caplog):
    mqtt = MqttSettings(port=locked.port, username="whosthere", password=SecretStr("wr0ng"))
    publisher = Publisher(mqtt, outbox, {}.get, Metrics())
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await supervise("broker", publisher.run, publisher.failed, sleep=wait)

    assert waits == [60.0, 60.0]
    (line,) = [record for record in caplog.records if record.name == "streamer.mqtt.publisher"]
    assert line.code == "broker_login_refused"
    assert line.message.startswith(
        f"broker 127.0.0.1:{locked.port} refuses the login; check mqtt.username and mqtt.password"
    )
    assert "wr0ng" not in caplog.text
    with pytest.raises(BrokerLoginRefused):
        await try_broker(mqtt)
    with pytest.raises(BrokerLoginRefused):
        await follow(mqtt, on_event=lambda _: None)


async def test_the_right_login_is_taken(locked, outbox, all_acknowledged):
    mqtt = MqttSettings(port=locked.port, username="whosthere", password=SecretStr("hunter2"))
    await try_broker(mqtt)
    publisher = Publisher(mqtt, outbox, {}.get, Metrics())
    outbox.put(due("a1n"))
    task = asyncio.create_task(publisher.run())
    async with listening(locked.port, username="whosthere", password="hunter2") as heard:
        await until(lambda: publisher.connected)
        await until(all_acknowledged)
        await publisher.stop()
        await task
        await heard.until(lambda: heard.on(STATE)[-1:] == [b"stopped"])


async def test_following_shows_each_event_once_and_only_of_the_camera_asked_for(broker, outbox):
    seen: list[IdentityEvent] = []
    listening_to = asyncio.Event()
    mqtt = MqttSettings(port=broker.port)
    following = asyncio.create_task(
        follow(mqtt, on_event=seen.append, camera="door", count=3, on_listening=listening_to.set)
    )
    async with asyncio.timeout(20):
        await listening_to.wait()
    outbox.put(due("a1n"))
    outbox.put(due("a2u", person=BOB, previous=ADA))
    outbox.put(due("b1n", camera="hall"))
    outbox.put(due("a3e", person=BOB))
    async with publishing(broker.port, outbox), asyncio.timeout(20):
        assert await following == 3

    assert [word_of(event) for event in seen] == ["a1n", "a2u", "a3e"]
    assert seen[1].person is not None
    assert seen[1].person.name == "Bob"


async def test_following_ends_with_one_line_when_the_broker_goes(broker):
    listening_to = asyncio.Event()
    following = asyncio.create_task(
        follow(MqttSettings(port=broker.port), on_event=lambda _: None, on_listening=listening_to.set)
    )
    async with asyncio.timeout(20):
        await listening_to.wait()
    broker.stop()
    with pytest.raises(BrokerLost, match=rf"^broker 127\.0\.0\.1:{broker.port}: the connection is lost$"):
        await following
