"""What the broker retains of people, for a command: erased by it, or seen to be gone where a service does it.

Ids go in, and the topics on which Home Assistant was told of devices; those that are left come out. On a loop of the
command's own, by a connection of its own.
"""

import asyncio
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import orjson

from streamer.mqtt.client import BrokerClient
from streamer.mqtt.connection import Broker, passing_id
from streamer.mqtt.discovery import SETTLE_S
from streamer.mqtt.leftovers import LEAVES, SUBSCRIPTION_REFUSED, reason_value
from streamer.settings import MqttSettings

QUIET_S = 0.5  # what is retained comes right behind the broker's answer
LOOK_FOR_S = 10.0
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Topics:
    """`erased` by us; `left`: retained and naming one of the people; `unseen`: the broker lets nobody look."""

    erased: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    unseen: bool = False


async def erase_topics(mqtt: MqttSettings, person_ids: Collection[str], devices: Sequence[str] = ()) -> Topics:
    """Erase what is retained of these people, and take them out of who is present; look whether it is gone.

    devices: topics on which Home Assistant was told of them; these first, since it complains of others that are emptied
    under what it shows. Raises BrokerUnreachable, BrokerLoginRefused and BrokerLost.
    """
    async with Broker(mqtt).connect(client_id=passing_id(mqtt)) as client:
        look = _Look(client, mqtt.topic_prefix, person_ids, devices)
        found = await look.retained()
        own = [f"{mqtt.topic_prefix}/people/{one}/{leaf}" for one in sorted(person_ids) for leaf in LEAVES["people"]]
        erased = []
        for topic in devices if look.is_refused else [one for one in devices if one in found]:
            if await client.send(topic, b"", retain=True) is None and found.pop(topic, None) is not None:
                erased.append(topic)
        if erased:
            await asyncio.sleep(SETTLE_S)
        for topic, payload in (dict.fromkeys(own, b"") | found).items():
            if await client.send(topic, _without(topic, payload, person_ids), retain=True) is None and topic in found:
                erased.append(topic)
        left = await look.retained()
        return Topics(tuple(erased), tuple(left), look.is_refused)


async def await_erased(
    mqtt: MqttSettings, person_ids: Collection[str], within_s: float, devices: Sequence[str] = ()
) -> Topics:
    """Look until a running service has erased what is retained of these people. Raises as erase_topics()."""
    async with Broker(mqtt).connect(client_id=passing_id(mqtt)) as client:
        look = _Look(client, mqtt.topic_prefix, person_ids, devices)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        left = await look.retained()
        while left and loop.time() < until_s:
            left = await look.retained()
        return Topics(left=tuple(left), unseen=look.is_refused)


class _Look:
    def __init__(
        self, client: BrokerClient, prefix: str, person_ids: Collection[str], devices: Sequence[str] = ()
    ) -> None:
        self._client = client
        self._person_ids = person_ids
        self._filters = [f"{prefix}/cameras/+/present", *devices]
        for one in sorted(person_ids):
            self._filters += [f"{prefix}/people/{one}/#", f"{prefix}/cameras/+/identity/{one}"]
        self.is_refused = False

    async def retained(self) -> dict[str, bytes]:
        """Topics with what they say, of those that say something of these people. Raises MqttError."""
        found: dict[str, bytes] = {}
        for filters in _parts(self._filters):
            granted = await self._client.subscribe([(one, 0) for one in filters])
            self.is_refused |= any(reason_value(code) >= SUBSCRIPTION_REFUSED for code in granted)
            await self._hear(found)
            await self._client.unsubscribe(filters)
        return found

    async def _hear(self, found: dict[str, bytes]) -> None:
        """Until nothing more comes."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LOOK_FOR_S
        try:
            while loop.time() < until_s:
                async with asyncio.timeout(QUIET_S):
                    message = await anext(self._client.messages)
                payload = bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else b""
                topic = message.topic.value
                if (
                    message.retain
                    and payload
                    and any(one in topic or one.encode() in payload for one in self._person_ids)
                ):
                    found[topic] = payload
        except TimeoutError:
            return


def _without(topic: str, payload: bytes, person_ids: Collection[str]) -> bytes:
    """What a topic is to say instead: nothing, or, of who is present, that they are somebody unknown."""
    if "/cameras/" not in topic or not topic.endswith("/present"):
        return b""
    try:
        document = orjson.loads(payload)
        people = [person for person in document["people"] if person["id"] not in person_ids]
        unknown = document["unknown"] + len(document["people"]) - len(people)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return b""  # none of ours; it names them all the same
    return orjson.dumps(document | {"people": people, "unknown": unknown})


def _parts(filters: list[str]) -> Iterator[list[str]]:
    them = iter(filters)
    while part := list(itertools.islice(them, _AT_ONCE)):
        yield part
