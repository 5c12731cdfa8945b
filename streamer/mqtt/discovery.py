"""Home Assistant told of what there is, by its MQTT discovery, and made to forget what is no more.

Cameras and people come in by what the publisher asks for them; discovery messages leave through a Sender, in the order
service, cameras, people, each before what waits for it. Once a connection: run(), while opened() is waited for. On the
loop; documents are made and the list of what was told is written on threads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

import orjson
from aiomqtt import Client, Message

from streamer.errors import BrokerTopicRefused
from streamer.mqtt.client import QOS
from streamer.mqtt.home_assistant.devices import PLATFORMS, Device, Devices, birth_topics, kind_of, remnant, tombstone
from streamer.mqtt.home_assistant.errors import DiscoveryListError
from streamer.mqtt.home_assistant.ledger import Ledger, Row
from streamer.mqtt.leftovers import SUBSCRIPTION_REFUSED, reason_value
from streamer.mqtt.retained import Retained
from streamer.mqtt.sender import Sender
from streamer.settings import MqttSettings
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

# Home Assistant subscribes to what a new entity goes by a while after it is told of it (0.15 s were enough, 0.1 s not).
SETTLE_S = 1.0
OPEN_WITHIN_S = 5.0
HOLD_S = 5.0  # events wait for no longer
SAVE_AGAIN_S = 60.0
BATCH = 50  # so many devices that are to be forgotten are told of at once: as many as it follows in that time

# By id, everybody who is to be a device; None: without a name.
People = Mapping[str, str | None]


class Discovery:
    """Nothing is told where mqtt.home_assistant is off, but to forget what was told when it was on.

    states: what is retained of cameras and people; greet: sends what is said once a connection. ledger: None where its
    file can't be used, and nothing is told; trouble says why.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        ledger: Ledger | DiscoveryListError,
        cameras: Callable[[], Collection[str]],
        people: Callable[[], People],
        states: Retained,
        greet: Callable[[Sender], Awaitable[None]],
        metrics: Metrics,
        *,
        commanded: bool,
    ) -> None:
        self._options = mqtt.home_assistant
        self._devices = Devices(mqtt, commanded=commanded)
        self._naming = self._devices.naming
        self._unusable = ledger if isinstance(ledger, DiscoveryListError) else None
        self._ledger = Ledger(None) if isinstance(ledger, DiscoveryListError) else ledger
        self._cameras, self._people = cameras, people
        self._states = states
        self._greet = greet
        self._metrics = metrics
        self.configs = Retained(lambda _: None)
        # Of this connection: the newest payload, by topic; what others left there; what is empty; what is owed again.
        self._told: dict[str, bytes] = {}
        self._left: set[str] = set()
        self._emptied: set[str] = set()
        self._owed: list[Row] = []
        self._counts = False  # it is because of a birth that they are
        self._saved = {row.topic: frozenset(row.components) for row in self._ledger.rows.values()}
        self._then: list[Callable[[], None]] = []
        self._births = birth_topics(mqtt)
        self._born = False
        self._news = asyncio.Event()
        self._free = asyncio.Event()  # events may go
        self._free.set()
        self._hold_until_s = 0.0
        self._opened = asyncio.Event()
        self._end = asyncio.Event()
        self._unsaved: DiscoveryListError | None = None
        self._once = OnceLog(log)
        if self._unusable is not None and self._options.enabled:
            log.error("%s", self._unusable, extra={"code": self._unusable.code})

    @property
    def is_active(self) -> bool:
        """Whether Home Assistant is told, or was and has to be told of what it is to forget."""
        return self._unusable is None and (self._options.enabled or bool(self._ledger.rows))

    @property
    def trouble(self) -> str:
        """Why it is not told what it should be told; empty where it is."""
        trouble = self._unusable or self._unsaved
        return str(trouble) if trouble is not None and self._options.enabled else ""

    @property
    def leftover_filters(self) -> tuple[str, ...]:
        """Where an earlier run may have left devices."""
        return (f"{self._options.prefix}/device/+/config",) if self.is_active else ()

    def changed(self) -> None:
        """Cameras or people are others, or called otherwise."""
        self._news.set()

    def then(self, act: Callable[[], None]) -> None:
        """Act once Home Assistant has been told of what there is no more: it complains of topics that are emptied
        under what it still shows. At once where nobody tells it."""
        if not self.is_active:
            act()
            return
        self._then.append(act)
        self.changed()

    def forget(self, person_ids: Collection[str], *, earlier: bool = False) -> list[str]:
        """They were forgotten; where the list was lost they may have been told of. Where it can't be used, what the
        broker retains of them goes all the same. Returns of whom Home Assistant may have a picture: not of those who
        were forgotten `earlier`, and in that run already."""
        topics = {person_id: self._naming.topic(self._naming.key("person", person_id)) for person_id in person_ids}
        is_sure = earlier and self._options.people and self._unusable is None and not self._ledger.was_damaged
        told = {row.topic for row in self._ledger.rows.values() if not row.is_gone}
        shown = [person_id for person_id, topic in topics.items() if not is_sure or topic in told]
        if self._unusable is not None:
            for topic in topics.values():
                self._states.erase(topic)
        if self._ledger.was_damaged:
            for person_id, topic in topics.items():
                self._ledger.remove(self._naming.key("person", person_id), topic, PLATFORMS["person"])
        self.changed()
        return shown

    def end(self) -> None:
        """Let run() return once what has changed is told."""
        self._end.set()
        self._free.set()
        self._news.set()

    def heard(self, message: Message) -> bool:
        """Whether it is about Home Assistant's coming and going, and nothing else."""
        if message.topic.value not in self._births:
            return False
        # One that is retained is of some time before: it may be there, and has been told just now.
        if self.is_active and message.payload == b"online" and not message.retain:
            self._metrics.home_assistant_births.inc()
            self._born = True
            self._news.set()
        return True

    def found(self, topic: str, payload: object) -> bool:
        """A retained message that we have not sent in this run; whether it is a device of ours, which is then removed
        where there is no such device."""
        key = self._naming.key_of(topic) if self.is_active else None
        if key is None:
            return False
        kind = kind_of(key, self._naming.node)
        if kind is not None and topic not in self._told:
            self._ledger.remove(key, topic, {**PLATFORMS[kind], **_platforms(payload)})
            self._left.add(topic)
            self._news.set()
        return True

    async def hold(self) -> None:
        """Wait while Home Assistant gets ready for messages that are not retained; not for long."""
        if self._free.is_set():
            return
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(max(self._hold_until_s, loop.time())):
                await self._free.wait()

    async def opened(self) -> None:
        """Wait until run() has told of everything, as states and events do; not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_WITHIN_S):
                await self._opened.wait()

    async def run(self, sender: Sender) -> None:
        """Tell of everything, then of each change, and of everything to each Home Assistant that starts, until end().
        Raises MqttError."""
        is_first = True
        try:
            if is_active := self.is_active:
                await self._open(sender)
            self._opened.set()
            while is_active:
                with suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_AGAIN_S if self._ledger.is_dirty else None):
                        await self._news.wait()
                self._news.clear()
                born, self._born = self._born, False
                await self._settle(sender, anew=born or is_first, born=born)
                is_first = False
                if self._end.is_set() and not self._news.is_set():
                    return
        finally:
            self._opened.clear()
            self._free.set()

    async def _open(self, sender: Sender) -> None:
        """However long the broker takes: a message that is cut off costs the connection."""
        self._hold()
        self._told.clear()
        self._emptied.clear()
        self.configs = Retained(lambda _: None)
        acts, self._then = self._then, []
        try:
            await self._subscribe(sender.client)
            await self._tell(sender)
            self._owed, self._counts = [row for row in self._ledger.tombstones if not row.replayed], False
            if self._owed:
                await self._replay(sender)
                await self._pause(SETTLE_S)
        except BaseException:
            self._then = acts + self._then
            raise
        _act(acts)
        self._news.set()  # states and events may have gone ahead of it

    async def _settle(self, sender: Sender, *, anew: bool, born: bool) -> None:
        acts, self._then = self._then, []
        try:
            if born:
                self._hold()
                self.configs.renew()
            changed, gone = await self._tell(sender)
            if changed or gone or anew:
                await self._pause(SETTLE_S)
        except BaseException:
            self._then = acts + self._then
            raise
        # What an entity goes by is looked at anew with the next message alone.
        if born:
            await self._greet(sender)
        if anew:
            self._states.renew()
        for states in changed:
            self._states.renew(states)
        _act(acts)
        self._free.set()
        if born:
            self._owed, self._counts = self._ledger.tombstones, True
        await self._replay(sender)

    async def _tell(self, sender: Sender) -> tuple[list[str], bool]:
        """Send what is new or gone; returns below which topics the states of the new lie, and whether some are gone."""
        cameras, people = sorted(self._cameras()), dict(self._people())
        wanted = await asyncio.to_thread(self._made, cameras, people)
        self._ledger.want(wanted)
        await self._save()
        changed = []
        for topic, device in wanted.items():
            if self._saved.get(topic) != frozenset(device.components):
                continue  # what can't be written down could not be taken back
            payload = device.payload(self._ledger.rows[topic].removed_platforms)
            if self._told.get(topic) != payload:
                if kind_of(device.key, self._naming.node) == "cam":
                    self._hold()
                self._put(topic, payload)
                changed.append(device.states)
        # Home Assistant warns of one that is told to be gone and that it doesn't know: others are replayed instead.
        found = {**self._told, **dict.fromkeys(self._left)}
        gone = [topic for topic in found if topic not in wanted and topic not in self._emptied]
        self._left.clear()
        for topic in gone:
            self._told.pop(topic, None)
            self.configs.erase(topic)
        self._metrics.home_assistant_devices.set(len(self._told))
        await self.configs.flush(sender)
        return changed, bool(gone)

    def _made(self, cameras: Sequence[str], people: People) -> dict[str, Device]:
        if not self._options.enabled:
            return {}
        devices = [self._devices.service(), *map(self._devices.camera, cameras)]
        if self._options.people:
            devices += [self._devices.person(person_id, name) for person_id, name in sorted(people.items())]
        return {device.topic: device for device in devices}

    def _put(self, topic: str, payload: bytes) -> None:
        self._told[topic] = payload
        self._emptied.discard(topic)
        self.configs.put(topic, lambda: payload)

    async def _save(self) -> None:
        if not self._ledger.is_dirty:
            return
        rows, self._ledger.is_dirty = self._ledger.snapshot(), False
        try:
            await asyncio.to_thread(self._ledger.write, rows)
        except DiscoveryListError as error:
            self._unsaved, self._ledger.is_dirty = error, True
            self._once.warn("list", error)
        else:
            self._unsaved = None
            self._once.over("list")
            self._saved = {row.topic: frozenset(row.components) for row in rows}

    async def _replay(self, sender: Sender) -> None:
        """Tell once more of what is removed, not retained, and a moment later that it is: who was off when it was
        removed knows it still, and would not listen to the removal alone. News go first; it goes on behind them.
        """
        done: list[str] = []
        while self._owed and not self._end.is_set() and not (done and self._news.is_set()):
            batch, self._owed = self._owed[:BATCH], self._owed[BATCH:]
            try:
                known = [row.topic for row in batch if await self._tell_once_more(sender, row)]
                await self._pause(SETTLE_S)  # it may have to load what an entity of that kind needs
                for topic in known:
                    payload = self._told.get(topic, b"")
                    if await sender.send(topic, payload, retain=True) and not payload:
                        self._emptied.add(topic)
            except BaseException:
                for row in batch:  # told once more, maybe, and not that it is gone: the next connection owes that
                    row.replayed, self._ledger.is_dirty = 0, True
                self._owed = batch + self._owed
                raise
            done += known
        if self._counts:
            self._ledger.replayed(done)
            await self._save()
        if self._owed and not self._end.is_set():
            self._news.set()

    async def _tell_once_more(self, sender: Sender, row: Row) -> bool:
        """Whether the broker takes it."""
        now = self._told.get(row.topic)
        if row.is_gone:
            return await sender.send(row.topic, tombstone(row.key, row.removed_platforms))
        if now is None:
            return False
        document = orjson.loads(now)
        document["cmps"] |= {name: remnant(row.key, name, platform) for name, platform in row.removed_platforms.items()}
        return await sender.send(row.topic, orjson.dumps(document))

    async def _subscribe(self, client: Client) -> None:
        granted = await client.subscribe([(topic, QOS) for topic in self._births])
        if any(reason_value(code) >= SUBSCRIPTION_REFUSED for code in granted):
            told = "the broker does not let us read %s: Home Assistant is not told anew when it starts; check its ACL"
            self._once.say(
                "births", True, logging.WARNING, told, " and ".join(self._births), code=BrokerTopicRefused.code
            )

    def _hold(self) -> None:
        if not self._end.is_set():
            self._free.clear()
            self._hold_until_s = asyncio.get_running_loop().time() + HOLD_S

    async def _pause(self, seconds: float) -> None:
        """Not where it is to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()


def _act(acts: Sequence[Callable[[], None]]) -> None:
    for act in acts:
        act()


def _platforms(payload: object) -> dict[str, str]:
    """Those of a device message, by component; what can't be read has none."""
    try:
        components = orjson.loads(payload if isinstance(payload, bytes) else b"")["cmps"]
        return {name: one["p"] for name, one in components.items() if isinstance(one["p"], str)}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}
