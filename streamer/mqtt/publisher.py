"""Publishes identity events and retained states over MQTT, so that none is lost and none overtakes another.

Stored messages come in from the outbox, states from the service; both leave as JSON at QoS 1. On the loop.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from contextlib import suppress

import orjson
from aiomqtt import Message, MqttError, Will

from recognition.errors import CodedError
from streamer.errors import BrokerError, BrokerLoginRefused, BrokerLost, BrokerUnreachable
from streamer.events.event import IdentityEvent, named
from streamer.events.outbox import Outbox
from streamer.events.outbox_file import Stored
from streamer.mqtt.broker_check import CHECK, CHECK_EXPIRES_S, ENDS_THE_CONNECTION, NO_REASONS, check_topic, try_topic
from streamer.mqtt.camera_commands import CameraCommands
from streamer.mqtt.camera_topics import CameraTopics
from streamer.mqtt.client import BrokerClient
from streamer.mqtt.connection import Broker, id_taken
from streamer.mqtt.discovery import Discovery
from streamer.mqtt.event_pump import EventPump
from streamer.mqtt.home_assistant.errors import DiscoveryListError
from streamer.mqtt.home_assistant.last_faces import LastFaces
from streamer.mqtt.home_assistant.ledger import Ledger
from streamer.mqtt.leftovers import Leftovers, is_leftover
from streamer.mqtt.person_topics import PersonTopics
from streamer.mqtt.presence import Presence
from streamer.mqtt.refusals import Blame, Refusals
from streamer.mqtt.retained import Retained
from streamer.mqtt.sender import Sender, refuse
from streamer.mqtt.tls.errors import BrokerTlsError
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

STOP_WITHIN_S, FAREWELL_WITHIN_S = 2.5, 0.3
# So many losses within so long that no message explains: somebody else has our id.
LOSSES, LOSSES_WITHIN_S = 3, 30.0
LOOK_EVERY_S = 1.0
TRIES_AT_ONCE = 5


class Publisher:
    """One per service. run() is one connection's life: hand it to supervise(), with failed() as its report.

    name_of(person_id) gives the display name of somebody enrolled, None for anybody else, and person_ids() all who
    are; both must know the gallery before run() is called, because what is retained of somebody who is not enrolled is
    erased. What is retained of cameras that add_camera() did not name by then is erased, too. obey(camera, enabled):
    called for each command that is allowed by mqtt.commands; None: none is. own_broker: it denies nothing. ledger: what
    Home Assistant was told, or why that can't be read; it is not told of people of whom is_ignored(person_id) is true.
    pool: where pictures are encoded.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        outbox: Outbox,
        name_of: Callable[[str], str | None],
        metrics: Metrics,
        now: Callable[[], float] = time.time,
        *,
        obey: Callable[[str, bool], None] | None = None,
        person_ids: Callable[[], Collection[str]] = tuple,
        is_ignored: Callable[[str], bool] = lambda _: False,
        ledger: Ledger | DiscoveryListError | None = None,
        pool: Executor | None = None,
        own_broker: bool = False,
    ) -> None:
        self._mqtt = mqtt
        self._outbox = outbox
        self._name_of = name_of
        self._person_ids = person_ids
        self._is_ignored = is_ignored
        self._metrics = metrics
        self._publish_stage = metrics.stage.labels(stage="publish")
        self._now = now
        self._prefix = mqtt.topic_prefix
        self._broker = Broker(mqtt)
        self._available, self._state = f"{self._prefix}/available", f"{self._prefix}/service/state"
        # Said once a connection, and again where the broker takes them later.
        self._standing = {self._available: b"online", self._state: b"running", check_topic(mqtt): CHECK}
        self._model: dict[str, object] = {}
        self._refusals, self._blame = Refusals(), Blame()
        self._presence = Presence(name_of, mqtt.publish_names, now)
        self._retained = Retained(lambda topic: self._people.erased(topic))
        commanded = obey is not None and "cameras/enabled" in mqtt.commands
        self.discovery = Discovery(
            mqtt,
            Ledger(None) if ledger is None else ledger,
            lambda: self._cameras.names,
            self._told_of,
            self._retained,
            self._greet,
            metrics,
            commanded=commanded,
        )
        self._pump = EventPump(mqtt, outbox, self._refusals, self._as_sent, self._taken, metrics, self.discovery.hold)
        self._cameras = CameraTopics(
            mqtt, self._retained, self._presence, now, self.discovery.then, tell_enabled=commanded
        )
        self.last_faces = LastFaces(mqtt, pool, self.discovery.hold)
        self._people = PersonTopics(self._prefix, self._retained, self._presence, outbox, name_of, self.discovery.then)
        self._commands = (
            CameraCommands(self._prefix, lambda: self._cameras.names, obey, metrics) if obey and commanded else None
        )
        outbox.hearers.append(self._heard)
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._hurried = False
        self._leftovers = Leftovers(self._prefix, lambda: self.discovery.leftover_filters)
        self._told_of_no_reasons = own_broker
        self._stopping = False
        self._over = asyncio.Event()
        self._over.set()
        self._connected = False
        self._fault: CodedError | None = None
        self._once = OnceLog(log)

    @property
    def _client_id(self) -> str:
        return self._mqtt.client_id or self._outbox.client_id

    @property
    def connected(self) -> bool:
        """True from the broker's acknowledgement of `online` until the connection ends."""
        return self._connected

    @property
    def trouble(self) -> str:
        """Why the broker is away, or which topics it refuses; empty where all is well. For people."""
        if self._connected:
            return str(self._refusals)
        return "not connected yet" if self._fault is None else f"{self._fault} [{self._fault.code}]"

    def failed(self, _name: str, error: CodedError) -> None:
        """Count a fault of run(); logged when it is another one than before."""
        self._fault = error
        if isinstance(error, BrokerUnreachable | BrokerTlsError):  # it was away: that explains the losses
            self._losses.clear()
        self._metrics.broker_errors.labels(code=error.code).inc()
        self._once.warn("broker", error)

    def add_camera(self, camera: str, *, enabled: bool = True) -> None:
        """A camera that is configured, or is otherwise now than it was."""
        self._cameras.add(camera)
        self._cameras.set_enabled(camera, enabled)
        self.discovery.changed()
        self.last_faces.add_camera(camera)

    def remove_camera(self, camera: str) -> None:
        """It is configured no more: what the broker retains of it is erased, at once or when it is back."""
        self._cameras.remove(camera)
        self.last_faces.remove_camera(camera)

    def set_camera_status(self, camera: str, state: str, reason: str = "") -> None:
        """Retain a camera's state, now and after each reconnect; `since` is when the state was first set."""
        self._cameras.set_status(camera, state, reason)

    def set_model(self, document: dict[str, object]) -> None:
        """Retain what is said about the active models."""
        if document != self._model:
            self._model = document
            self._retained.put(f"{self._prefix}/service/model", lambda: orjson.dumps(self._model))

    def clock_stepped(self, step_s: float) -> None:
        """The wall clock was set by so many seconds: what was retained in this run is told by the new one."""
        for person_id in self._outbox.clock_stepped():
            self._people.last_seen_changed(person_id)
        self._presence.clock_stepped(step_s)
        self._cameras.clock_stepped(step_s)
        for person_id in self._person_ids():
            self._people.present_changed(person_id)

    def gallery_changed(self, gone: Iterable[str]) -> None:
        """Somebody was enrolled, renamed or forgotten; of those who are `gone` what the broker retains is erased: at
        once, or when it is back."""
        self._people.gone(gone)
        self._cameras.names_changed()
        self._people.come(self._person_ids())
        self.discovery.changed()

    def forget(self, person_ids: Collection[str], *, earlier: bool = False) -> None:
        """Nothing is retained of these people from now on, and nothing kept: erased at once, or when the broker is
        back. What it is just being sent may still arrive. earlier: they were forgotten at some time before this run."""
        self.last_faces.forget(self.discovery.forget(person_ids, earlier=earlier))
        self._people.forget(person_ids)
        self._pump.forget(person_ids)
        self._cameras.names_changed()

    async def stop(self, limit_s: float = STOP_WITHIN_S) -> None:
        """Send what is on disk, then say so, and end run(); what takes over `limit_s` stays on disk."""
        self._stopping = True
        self._pump.end()
        try:
            async with asyncio.timeout(limit_s):
                await self._over.wait()
        except TimeoutError:
            log.warning("the broker is slow: what is not sent by now is sent at the next start")

    async def run(self) -> None:
        """Connect and publish until the connection ends or stop() is called.

        Raises BrokerUnreachable, BrokerTlsError, BrokerLoginRefused, BrokerIdTaken or BrokerLost. What the broker has
        not acknowledged by then is sent again by the next call, with the same seq. A connection that a message has
        cost, or may have, is replaced at once.
        """
        self._over.clear()
        try:
            while not self._stopping and await self._connection_lost_to_a_message():
                pass
        finally:
            self._over.set()

    async def _connection_lost_to_a_message(self) -> bool:
        """One connection: False where it was stopped."""
        for person_id in self._person_ids():
            self._people.present_changed(person_id)
        for person_id in self._outbox.last_seen:
            self._people.last_seen_changed(person_id)
        will = Will(self._available, "offline", qos=1, retain=True)
        sender: Sender | None = None
        try:
            async with self._broker.connect(client_id=self._client_id, will=will) as client:
                sender = Sender(client, self._refusals, self._blame, self._metrics)
                try:
                    await self._greet(sender)
                    await self._serve(sender)
                finally:
                    await self._farewell(client)
        except BrokerLost as lost:
            if sender is None or not await self._blames_a_message(sender):
                raise
            self._metrics.broker_errors.labels(code=lost.code).inc()
            return True
        return False

    async def _greet(self, sender: Sender) -> None:
        """In this order: `offline` with `running` means that the service was lost."""
        for topic in (self._available, self._state):
            await sender.send(topic, self._standing[topic], retain=True)

    async def _blames_a_message(self, sender: Sender) -> bool:
        """Whether the loss is, or may be, a message's, so that going on at once leads somewhere."""
        if sender.told or await self._is_found_guilty(sender):
            self._losses.clear()
            self._hurried = False
            return True
        self._losses.append(time.monotonic())
        if len(self._losses) == LOSSES and self._losses[-1] - self._losses[0] < LOSSES_WITHIN_S:
            raise id_taken(self._broker.where)
        self._hurried = bool(self._blame.suspects) and not self._hurried
        return self._hurried

    async def _is_found_guilty(self, sender: Sender) -> bool:
        """Try what seems to be to blame where it costs nothing; its topic is set aside if it is."""
        message = sender.lost()
        if message is None:
            return False
        try:
            why = await self._try_apart(message.topic, message.payload, retain=message.retain)
        except BrokerLoginRefused:  # it can't be tried, and has cost two connections
            why = ENDS_THE_CONNECTION
        if why is not None:
            refuse(message.topic, why, self._refusals, self._metrics)
        return why is not None

    async def _serve(self, sender: Sender) -> None:
        self._set_connected(True)
        try:
            async with asyncio.TaskGroup() as tasks:
                watches = [
                    tasks.create_task(self._listen(sender.client), name="watch broker"),
                    tasks.create_task(self._leftovers.look(sender.client), name="look for leftovers"),
                    tasks.create_task(self._try_refused(), name="try refused topics"),
                    tasks.create_task(self.last_faces.run(sender.send), name="publish faces"),
                ]
                probe = sender.send(check_topic(self._mqtt), CHECK, expire_s=CHECK_EXPIRES_S)
                tasks.create_task(probe, name="probe broker")
                if self._commands is not None:
                    tasks.create_task(self._commands.subscribe(sender.client), name="hear commands")
                discovery = tasks.create_task(self.discovery.run(sender), name="tell Home Assistant")
                await self.discovery.opened()
                states = tasks.create_task(self._retained.run(sender), name="publish states")
                await self._pump.run(sender)
                self.discovery.end()
                await discovery
                self._retained.end()
                await states
                for watch in watches:
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
            if self._broker.version == "3.1.1" and not self._told_of_no_reasons:
                log.warning("broker %s:%d: %s", self._mqtt.host, self._mqtt.port, NO_REASONS)
                self._told_of_no_reasons = True

    async def _farewell(self, client: BrokerClient) -> None:
        """Last retained words, where the connection still carries them; a broker that is slow may read them later."""
        client.timeout = FAREWELL_WITHIN_S
        words = {self._state: "stopped"} if self._stopping else {}
        for topic, word in (words | {self._available: "offline"}).items():
            if topic not in self._refusals:
                with suppress(MqttError):
                    await client.send(topic, word, retain=True)

    async def _listen(self, client: BrokerClient) -> None:
        """Raises MqttError when the connection ends; all that ever arrives is what is retained, and commands."""
        async for message in client.messages:
            if not (self.discovery.heard(message) or (self._commands and self._commands.heard(message))):
                self._found_retained(message)
            del message  # until the next one comes it would hold a topic, and whose that is

    def _found_retained(self, message: Message) -> None:
        topic = message.topic.value
        if not message.retain or not message.payload or self.discovery.found(topic, message.payload):
            return
        if topic not in self._retained and is_leftover(topic, self._prefix, self._cameras.names, self._name_of):
            self._retained.erase(topic)

    async def _try_refused(self) -> None:
        """Try topics again that are refused, by connections of their own: a refusal may cost them."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for topic in self._refusals.due()[:TRIES_AT_ONCE]:
                try:
                    await self._try(topic)
                except BrokerError as error:
                    self._refusals.refuse(topic, f"and it can't be tried again: {error}")

    async def _try_apart(self, topic: str, payload: bytes | str, *, retain: bool) -> str | None:
        expire_s, us = None if retain else self._mqtt.expire_events_s, f"{self._client_id}-try"
        return await try_topic(self._broker, us, topic, payload, retain=retain, expire_s=expire_s)

    async def _try(self, topic: str) -> None:
        head = await self._pump.head(topic)
        if head is None and self._pump.waits(topic):
            self._pump.walk_again()  # what was first has been given up: another one is
            return
        standing = self._standing.get(topic) or self._retained.payload(topic)
        standing = self.discovery.configs.payload(topic) if standing is None else standing
        payload = standing if head is None else head[1]
        if payload is not None:
            retain = head is None and topic != check_topic(self._mqtt)
            why = await self._try_apart(topic, payload, retain=retain)
            if why is not None:
                refuse(topic, why, self._refusals, self._metrics)
                return
            log.info("the broker takes topic %s again", topic)
        self._refusals.accept(topic)
        self._metrics.broker_refused_topics.set(len(self._refusals))
        self._retained.touch(topic)
        self.discovery.configs.touch(topic)
        if head is not None:
            self._pump.delivered(head[0], topic)
        self._pump.walk_again()

    def _taken(self, stored: Stored, publish_s: float) -> None:
        """The broker has acknowledged an event on each of its topics."""
        event = stored.event
        self._publish_stage.observe(publish_s)
        if event.type != "end":
            self._metrics.event_latency.observe(self._outbox.latency_s(stored, self._now()))
        if event.person is not None and self._name_of(event.person.id) is not None:
            self._people.last_seen_changed(event.person.id)

    def _as_sent(self, stored: Stored) -> IdentityEvent:
        """The event with what is only known now: names, when it is handed over, how long it took."""
        event = self._outbox.handed_over(stored, self._now())
        return named(event, self._name_of if self._mqtt.publish_names else lambda _: None)

    def _heard(self, event: IdentityEvent) -> None:
        """An event is due: who is there has changed, whenever the event itself is sent."""
        people = self._presence.heard(event)
        self._cameras.present_changed(event.camera)
        for person_id in people:
            self._people.present_changed(person_id)

    def _told_of(self) -> dict[str, str | None]:
        """Who is to be a device of Home Assistant's, by which name."""
        told = [one for one in self._person_ids() if not self._is_ignored(one)]
        return {one: self._name_of(one) if self._mqtt.publish_names else None for one in told}
