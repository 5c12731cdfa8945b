"""`online` on one topic more, with a last will of its own: a connection has one, and Frigate's topic needs another.

Settings go in; the topic says `online` as long as run() does, and `offline` when that ends or is lost. On the loop.
"""

import logging
from contextlib import suppress

from aiomqtt import MqttError, Will

from recognition.errors import CodedError
from streamer.mqtt.connection import Broker
from streamer.settings import MqttSettings
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

FAREWELL_WITHIN_S = 0.3


class FrigateAvailability:
    """run() is one connection's life: hand it to supervise(), with failed() as its report."""

    def __init__(self, mqtt: MqttSettings, client_id: str) -> None:
        self._broker = Broker(mqtt)
        self._client_id = f"{client_id}-frigate"
        self._topic = f"{mqtt.frigate.prefix}/available"
        self._once = OnceLog(log)

    def failed(self, _name: str, error: CodedError) -> None:
        """Said once; the service's own connection counts and shows the same."""
        self._once.warn("frigate", error)

    async def run(self) -> None:
        """Raises as Broker.connect()."""
        will = Will(self._topic, "offline", qos=1, retain=True)
        async with self._broker.connect(client_id=self._client_id, will=will) as client:
            if (why := await client.send(self._topic, "online", retain=True)) is not None:
                log.warning("the broker refuses topic %s (%s): check its ACL", self._topic, why)
            self._once.over("frigate")
            try:
                async for _ in client.messages:
                    pass
            finally:
                client.timeout = FAREWELL_WITHIN_S
                with suppress(MqttError):
                    await client.send(self._topic, "offline", retain=True)
