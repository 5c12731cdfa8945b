"""Follows the identity events on the broker, for `whosthere events` and the demo.

Messages come in, each event leaves once. Runs on the loop; on_event is called there and must not block.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

from aiomqtt import Message
from pydantic import ValidationError

from gallery.people import name_key
from streamer.errors import BrokerLoginRefused
from streamer.events.event import IdentityEvent
from streamer.mqtt.client import QOS
from streamer.mqtt.connection import Broker, passing_id
from streamer.settings import MqttSettings

log = logging.getLogger(__name__)

REMEMBERED = 10_000
SUBSCRIPTION_REFUSED = 0x80  # SUBACK, MQTT 3.1.1 section 3.9.3


class Once:
    """Knows the last `limit` (event_id, seq), so that a message sent again, or on two topics, counts once."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()

    def first(self, event: IdentityEvent) -> bool:
        key = (event.event_id, event.seq)
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return True


async def follow(
    mqtt: MqttSettings,
    *,
    on_event: Callable[[IdentityEvent], None],
    camera: str | None = None,
    person: str | None = None,
    count: int | None = None,
    on_listening: Callable[[], None] | None = None,
) -> int:
    """Call on_event for each identity event, of one camera or of all, of one person (id or name) or of all.

    Returns after `count`, else never. on_listening is called once the broker has taken the subscription: nothing
    published after it is missed. Raises BrokerUnreachable, BrokerLoginRefused and BrokerLost.
    """
    follower = Follower(mqtt, on_event, camera=camera, person=person, count=count)
    return await follower.listen(on_listening)


class Follower:
    """Hears events over one connection after another: what is sent again counts once, whoever sends it."""

    def __init__(
        self,
        mqtt: MqttSettings,
        on_event: Callable[[IdentityEvent], None],
        *,
        camera: str | None = None,
        person: str | None = None,
        count: int | None = None,
    ) -> None:
        self._broker = Broker(mqtt)
        self._client_id = passing_id(mqtt)
        self._topic = f"{mqtt.topic_prefix}/cameras/{camera or '+'}/identity/+"
        self._on_event = on_event
        self._person = (person.strip().lower(), name_key(person)) if person else None
        self._count = count
        self._once = Once()
        self._seen = 0

    async def listen(self, on_listening: Callable[[], None] | None = None) -> int:
        """One connection; returns how many events were seen, of all connections. As follow()."""
        async with self._broker.connect(client_id=self._client_id) as client:
            granted = await client.subscribe(self._topic, qos=QOS)
            if any((code if isinstance(code, int) else code.value) >= SUBSCRIPTION_REFUSED for code in granted):
                raise BrokerLoginRefused(f"{self._broker.where} does not let this login read {self._topic}")
            if on_listening is not None:
                on_listening()
            async for message in client.messages:
                # amqtt shows a new client what is retained elsewhere
                if message.topic.matches(self._topic) and self._hear(message) and self._seen == self._count:
                    break
        return self._seen

    def _hear(self, message: Message) -> bool:
        """Whether it is an event to be told of, which then is."""
        try:
            event = IdentityEvent.model_validate_json(message.payload)
        except ValidationError:
            log.warning("a message on %s is no identity event of this version; ignored", message.topic)
            return False
        if not self._is_of_person(event) or not self._once.first(event):
            return False
        self._on_event(event)
        self._seen += 1
        return True

    def _is_of_person(self, event: IdentityEvent) -> bool:
        known = [person for person in (event.person, event.previous_person) if person is not None]
        if self._person is None:
            return True
        person_id, key = self._person
        return any(person.id == person_id or (person.name and name_key(person.name) == key) for person in known)
