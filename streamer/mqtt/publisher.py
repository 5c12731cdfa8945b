"""Publishes identity events and retained states over MQTT, so that none is lost and none overtakes another.

Stored messages come in from the outbox, states from the service; both leave as JSON at QoS 1. On the loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial

import orjson
from aiomqtt import Client, MqttError, Will

from recognition.errors import CodedError
from streamer.events.event import IdentityEvent, Person
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Stored
from streamer.mqtt.connection import QOS, connection
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

IN_FLIGHT = 50
STOP_WITHIN_S = 5.0
FAREWELL_WITHIN_S = 1.0


class Publisher:
    """One per service. run() is one connection's life: hand it to supervise(), with failed() as its report.

    name_of(person_id) gives the display name of somebody enrolled, None for anybody else; it must know the
    gallery before run() is called, because a retained last_seen of somebody not enrolled is erased.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        outbox: Outbox,
        name_of: Callable[[str], str | None],
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._mqtt = mqtt
        self._outbox = outbox
        self._name_of = name_of
        self._metrics = metrics
        self._now = now
        self._prefix = mqtt.topic_prefix
        self._states: dict[str, dict[str, object]] = {}
        self._forgotten: set[str] = set()
        # Retained topics to send, each with what makes its payload when its turn comes: the latest wins.
        self._changed: dict[str, Callable[[], bytes]] = {}
        self._state_news = asyncio.Event()
        self._stopping = False
        self._over = asyncio.Event()
        self._over.set()
        self._connected = False
        self._once = OnceLog(log)

    @property
    def connected(self) -> bool:
        """True from the broker's acknowledgement of `online` until the connection ends."""
        return self._connected

    def failed(self, _name: str, error: CodedError) -> None:
        """Count a fault of run(); logged when it is another one than before."""
        self._metrics.broker_errors.labels(code=error.code).inc()
        self._once.warn("broker", error)

    def set_camera_status(self, camera: str, state: str, reason: str = "") -> None:
        """Retain a camera's state, now and after each reconnect; `since` is when the state was first set."""
        topic = f"{self._prefix}/cameras/{camera}/status"
        before = self._states.get(topic, {})
        since = before["since"] if before.get("state") == state else round(self._now(), 3)
        self._set(topic, {"state": state, "since": since, "reason": reason or None})

    def set_model(self, document: dict[str, object]) -> None:
        """Retain what is said about the active models."""
        self._set(f"{self._prefix}/service/model", document)

    def clock_stepped(self, step_s: float) -> None:
        """The wall clock was set by so many seconds: what was retained in this run is told by the new one."""
        for topic, document in self._states.items():
            if isinstance(since := document.get("since"), float):
                self._set(topic, document | {"since": round(since + step_s, 3)})
        for person_id in self._outbox.clock_stepped(step_s):
            self._person_changed(person_id)

    def clear_last_seen(self, person_ids: Iterable[str]) -> None:
        """Erase what the broker retains about people who are forgotten: at once, or when it is back."""
        for person_id in person_ids:
            if person_id in self._outbox.last_seen:
                self._forgotten.add(person_id)
                self._person_changed(person_id)

    async def stop(self, limit_s: float = STOP_WITHIN_S) -> None:
        """Send what is on disk, then `stopped`, and end run(); what takes over `limit_s` stays on disk."""
        self._stopping = True
        self._outbox.wake()
        try:
            async with asyncio.timeout(limit_s):
                await self._over.wait()
        except TimeoutError:
            log.warning("the broker is slow: what is not sent by now is sent at the next start")

    async def run(self) -> None:
        """Connect and publish until the connection ends or stop() is called.

        Raises BrokerUnreachable, BrokerLoginRefused or BrokerLost. What the broker has not acknowledged by
        then is sent again by the next call, with the same seq.
        """
        if self._stopping:
            return
        available = f"{self._prefix}/available"
        will = Will(available, "offline", qos=QOS, retain=True)
        client_id = self._mqtt.client_id or self._outbox.client_id
        self._over.clear()
        try:
            async with connection(self._mqtt, client_id=client_id, will=will) as client:
                try:
                    await client.publish(available, "online", qos=QOS, retain=True)
                    await self._serve(client)
                finally:
                    await _say(client, available, "stopped" if self._stopping else "offline")
        finally:
            self._over.set()

    async def _serve(self, client: Client) -> None:
        self._set_connected(True)
        all_sent = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(_until_lost(client), name="watch broker")
                states = tasks.create_task(self._keep_states(client, all_sent), name="publish states")
                await self._pump(client)
                all_sent.set()
                self._state_news.set()
                await states
                watch.cancel()
        finally:
            self._set_connected(False)
            self._outbox.release()

    def _set_connected(self, connected: bool) -> None:
        self._connected = connected
        self._metrics.broker_up.set(int(connected))
        if connected:
            self._once.over("broker")
            log.info("connected to broker %s:%d", self._mqtt.host, self._mqtt.port)

    async def _pump(self, client: Client) -> None:
        """Outbox to broker in order, up to IN_FLIGHT unacknowledged; returns when stopping, all sent."""
        window = asyncio.Semaphore(IN_FLIGHT)
        after = 0
        async with asyncio.TaskGroup() as sends:
            while True:
                rows = await self._outbox.peek(IN_FLIGHT, after)
                for stored in rows:
                    await window.acquire()
                    self._hand_over(stored, client, sends, window)
                    after = stored.row
                if not rows:
                    if self._stopping:
                        return
                    await self._outbox.wait()

    def _hand_over(self, stored: Stored, client: Client, sends: asyncio.TaskGroup, window: asyncio.Semaphore) -> None:
        event = self._as_sent(self._outbox.handed_over(stored, self._now()))
        payload = event.model_dump_json(by_alias=True).encode()
        # Tasks take their first step, the one that writes, in the order in which they are made.
        publishing = [
            sends.create_task(
                client.publish(f"{self._prefix}/cameras/{event.camera}/identity/{level}", payload, qos=QOS),
                name="publish event",
            )
            for level in stored.levels
        ]
        sends.create_task(self._settle(stored, publishing, window), name="settle event")
        if event.person is not None and self._name_of(event.person.id) is not None:
            self._person_changed(event.person.id)

    async def _settle(self, stored: Stored, publishing: list[asyncio.Task[None]], window: asyncio.Semaphore) -> None:
        """Forget a message once the broker has acknowledged it on each of its topics."""
        started_s = time.perf_counter()
        for published in publishing:
            await published
        self._outbox.ack((stored.row,))
        window.release()
        self._metrics.stage.labels(stage="publish").observe(time.perf_counter() - started_s)
        if stored.event.type != "end":
            self._metrics.event_latency.observe(self._outbox.latency_s(stored, self._now()))

    def _as_sent(self, event: IdentityEvent) -> IdentityEvent:
        """The event with the names of now."""
        return event.model_copy(
            update={"person": self._named(event.person), "previous_person": self._named(event.previous_person)}
        )

    def _named(self, person: Person | None) -> Person | None:
        if person is None:
            return None
        return Person(id=person.id, name=self._name_of(person.id) if self._mqtt.publish_names else None)

    async def _keep_states(self, client: Client, all_sent: asyncio.Event) -> None:
        """Send every retained state, then each that changes; returns once the events are all sent, too."""
        self._changed = {topic: partial(self._state, topic) for topic in self._states} | self._changed
        for person_id in self._outbox.last_seen:
            self._person_changed(person_id)
        while True:
            while self._changed:
                topic = next(iter(self._changed))
                await client.publish(topic, self._changed.pop(topic)(), qos=QOS, retain=True)
            self._erased()
            if all_sent.is_set():
                return
            await self._state_news.wait()
            self._state_news.clear()

    def _set(self, topic: str, document: dict[str, object]) -> None:
        if self._states.get(topic) != document:
            self._states[topic] = document
            self._changed[topic] = partial(self._state, topic)
            self._state_news.set()

    def _state(self, topic: str) -> bytes:
        return orjson.dumps(self._states[topic])

    def _person_changed(self, person_id: str) -> None:
        self._changed[f"{self._prefix}/people/{person_id}/last_seen"] = partial(self._last_seen, person_id)
        self._state_news.set()

    def _last_seen(self, person_id: str) -> bytes:
        """What to retain about a person: nothing, which erases the topic, where nobody has the id."""
        seen = self._outbox.last_seen.get(person_id)
        if seen is None or person_id in self._forgotten or self._name_of(person_id) is None:
            self._forgotten.add(person_id)
            return b""
        return orjson.dumps(asdict(seen))

    def _erased(self) -> None:
        """The broker has acknowledged every erasure."""
        if self._forgotten:
            self._outbox.forget(self._forgotten)
            self._forgotten.clear()


async def try_login(mqtt: MqttSettings) -> None:
    """Connect and leave again. Raises BrokerUnreachable and BrokerLoginRefused."""
    async with connection(mqtt, client_id=None):
        pass


async def _until_lost(client: Client) -> None:
    """Raises MqttError when the connection ends; nothing is subscribed to, so no message arrives."""
    async for _ in client.messages:
        pass


async def _say(client: Client, topic: str, word: str) -> None:
    """A last retained word, where the connection still carries it."""
    try:
        await client.publish(topic, word, qos=QOS, retain=True, timeout=FAREWELL_WITHIN_S)
    except MqttError:
        log.debug("the broker did not hear %r", word)
