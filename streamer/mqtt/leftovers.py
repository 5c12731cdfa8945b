"""What an earlier run left retained on the broker: states of cameras that are gone, of people who are forgotten.

A connection goes in; the broker's retained messages come out as ordinary messages of it. On the loop.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from aiomqtt import Client
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

LEAVES = {"cameras": ("status", "present", "enabled/state"), "people": ("present", "last_seen")}
LOOK_FOR_S = 5.0
SUBSCRIPTION_REFUSED = 0x80  # SUBACK, MQTT 3.1.1 section 3.9.3


class Leftovers:
    """Looked for once in a run: what is retained later is known."""

    def __init__(self, prefix: str, also: Callable[[], Collection[str]] = tuple) -> None:
        """also(): filters of topics elsewhere."""
        self._prefix = prefix
        self._also = also
        self._own = [f"{prefix}/{kind}/+/{leaf}" for kind, leaves in LEAVES.items() for leaf in leaves]
        self._sought = False

    async def look(self, client: Client) -> None:
        """Have the broker send what it retains under our prefix, for a while. Raises MqttError.

        Over the next connection again where this one is lost, unless it is lost for the question.
        """
        if self._sought:
            return
        self._sought = True
        filters = [*self._own, *self._also()]
        granted = await client.subscribe([(one, 0) for one in filters])
        if any(reason_value(code) >= SUBSCRIPTION_REFUSED for code in granted):
            log.info("the broker does not let us read %s/#: what is retained of former cameras stays", self._prefix)
            return
        self._sought = False
        await asyncio.sleep(LOOK_FOR_S)
        await client.unsubscribe(filters)
        self._sought = True


def is_leftover(topic: str, prefix: str, cameras: Collection[str], name_of: Callable[[str], str | None]) -> bool:
    """Whether a retained topic, none that we put, is of a camera not configured, or of somebody not enrolled."""
    if not topic.startswith(f"{prefix}/"):
        return False  # some brokers send what nobody has asked for
    kind, _, rest = topic.removeprefix(f"{prefix}/").partition("/")
    name, _, leaf = rest.partition("/")
    if leaf not in LEAVES.get(kind, ()):
        return False
    if leaf == "enabled/state":
        return True  # cameras were commanded over MQTT once, and are no more
    return name not in cameras if kind == "cameras" else name_of(name) is None


def reason_value(code: int | ReasonCode) -> int:
    """Of one topic in a SUBACK."""
    return code if isinstance(code, int) else int(code.value)
