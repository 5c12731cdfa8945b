"""What one connection carries: messages that the broker takes, those that it refuses, those that may have cost it.

Topics and payloads go in, whether they were taken comes out. One per connection, on the loop.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from aiomqtt import MqttError

from streamer.errors import BrokerTopicRefused
from streamer.mqtt.client import BrokerClient
from streamer.mqtt.refusals import TOLD_JUST_NOW_S, Blame, Refusals
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

IN_FLIGHT = 200


@dataclass(frozen=True, slots=True)
class Message:
    """As it is published."""

    topic: str
    payload: bytes | str
    retain: bool


class Sender:
    def __init__(self, client: BrokerClient, refusals: Refusals, blame: Blame, metrics: Metrics) -> None:
        self.client = client
        self._refusals = refusals
        self._blame = blame
        self._metrics = metrics
        self._width = min(IN_FLIGHT, client.receive_maximum)
        self._narrow = bool(blame.suspects)
        self._window = asyncio.Semaphore(1 if self._narrow else self._width)
        self._under_way: Counter[str] = Counter()
        self._newest: dict[str, Message] = {}
        self._told_s = float("-inf")
        self._broken = False

    async def send(
        self, topic: str, payload: bytes | str, *, retain: bool = False, expire_s: int | None = None
    ) -> bool:
        """True once the broker has taken it; False where it refuses the topic, now or before. Raises MqttError.

        Messages are written in the order of the calls.
        """
        async with self._window:
            if topic in self._refusals:
                return False
            if self._broken or self.client.gone:
                raise MqttError("the connection is lost")
            self._under_way[topic] += 1
            self._newest[topic] = Message(topic, payload, retain)
            try:
                why = await self.client.send(topic, payload, retain=retain, expire_s=expire_s)
            except BaseException:
                self._broken = True  # nobody whose turn comes now is to blame
                raise
            self._under_way[topic] -= 1
            if not self._under_way[topic]:
                del self._under_way[topic], self._newest[topic]
            if why is not None:
                self._told_s = time.monotonic()
                refuse(topic, why, self._refusals, self._metrics)
        self.not_coming([topic])
        return why is None

    def not_coming(self, topics: Iterable[str]) -> None:
        """These have passed, or wait for others: no suspects of this connection."""
        self._blame.passed(topics)
        if self._narrow and not self._blame.suspects:
            self._narrow = False
            for _ in range(self._width - 1):
                self._window.release()

    @property
    def told(self) -> bool:
        """Whether the broker has just said that it refuses something: mosquitto then ends the connection, too."""
        return time.monotonic() - self._told_s < TOLD_JUST_NOW_S

    def lost(self) -> Message | None:
        """The connection is lost; returns the message that seems to be to blame, if it is one alone."""
        under_way = {topic for topic, count in self._under_way.items() if count} - self._refusals.topics
        guilty = self._blame.lost(under_way)
        return None if guilty is None else self._newest[guilty]


def refuse(topic: str, why: str, refusals: Refusals, metrics: Metrics) -> None:
    """Set a topic aside: counted each time, logged when it is news."""
    metrics.broker_errors.labels(code=BrokerTopicRefused.code).inc()
    if refusals.refuse(topic, why):
        log.warning(
            "the broker refuses topic %s (%s): check its ACL and its limits; what is for it waits, the rest goes on",
            topic,
            why,
            extra={"code": BrokerTopicRefused.code},
        )
    metrics.broker_refused_topics.set(len(refusals))
