"""Follows the identity events on the broker, for `whosthere events` and the demo.

Messages come in, each event leaves once. Runs on the loop; on_event is called there and must not block.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

from pydantic import ValidationError

from streamer.errors import BrokerLoginRefused
from streamer.events.event import IdentityEvent
from streamer.mqtt.connection import QOS, connection
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
    count: int | None = None,
    on_listening: Callable[[], None] | None = None,
) -> int:
    """Call on_event for each identity event, of one camera or of all; returns after `count`, else never.

    on_listening is called once the broker has taken the subscription: nothing published after it is missed.
    Raises BrokerUnreachable, BrokerLoginRefused and BrokerLost.
    """
    topic = f"{mqtt.topic_prefix}/cameras/{camera or '+'}/identity/+"
    once, seen = Once(), 0
    async with connection(mqtt, client_id=None) as client:
        granted = await client.subscribe(topic, qos=QOS)
        if any((code if isinstance(code, int) else code.value) >= SUBSCRIPTION_REFUSED for code in granted):
            raise BrokerLoginRefused(f"broker {mqtt.host}:{mqtt.port} does not let this login read {topic}")
        if on_listening is not None:
            on_listening()
        async for message in client.messages:
            if not message.topic.matches(topic):  # amqtt shows a new client what is retained elsewhere
                continue
            try:
                event = IdentityEvent.model_validate_json(message.payload)
            except ValidationError:
                log.warning("a message on %s is no identity event of this version; ignored", message.topic)
                continue
            if once.first(event):
                on_event(event)
                seen += 1
                if seen == count:
                    break
    return seen
