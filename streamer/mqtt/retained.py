"""What the broker is to retain for us: the newest payload of each topic, sent when it changes and anew to each broker.

Topics with what makes their payload go in; messages leave through a Sender. On the loop.
"""

import asyncio
from collections.abc import Callable
from itertools import islice

from streamer.mqtt.sender import IN_FLIGHT, Sender

Render = Callable[[], bytes]


class Retained:
    """A payload is made when its turn comes, so the latest wins. Nothing (b"") erases the topic: once the broker has
    taken that, erased(topic) is called and the topic is ours no more."""

    def __init__(self, erased: Callable[[str], None]) -> None:
        self._erased = erased
        self._renders: dict[str, Render] = {}
        self._unsent: dict[str, None] = {}
        self._paused: set[str] = set()
        self._news = asyncio.Event()
        self._ending = False

    def __contains__(self, topic: str) -> bool:
        return topic in self._renders

    def put(self, topic: str, render: Render) -> None:
        """This topic has something new to say."""
        self._renders[topic] = render
        self._unsent[topic] = None
        self._news.set()

    def erase(self, topic: str) -> None:
        self.resume(topic)
        self.put(topic, bytes)

    def pause(self, topic: str) -> None:
        """Nothing is sent on it until it is erased or resume() is called."""
        self._paused.add(topic)

    def resume(self, topic: str) -> None:
        self._paused.discard(topic)

    def touch(self, topic: str) -> None:
        """Send a topic again, where it is one of ours."""
        if topic in self._renders:
            self._unsent[topic] = None
            self._news.set()

    def payload(self, topic: str) -> bytes | None:
        """What the topic says now; None where it is not of ours, or says nothing for now."""
        render = self._renders.get(topic)
        return None if render is None or topic in self._paused else render()

    def end(self) -> None:
        """Let run() return once all is sent."""
        self._ending = True
        self._news.set()

    def renew(self, below: str = "") -> None:
        """Send again whatever is below this, a topic up to a slash; all where nothing is given."""
        self._unsent |= dict.fromkeys(topic for topic in self._renders if topic.startswith(below))
        self._news.set()

    async def flush(self, sender: Sender) -> None:
        """Send what has something new to say, in the order in which it came. Raises MqttError."""
        while self._unsent:
            await self._send(sender, list(islice(self._unsent, IN_FLIGHT)))

    async def run(self, sender: Sender) -> None:
        """Send every topic, then each that changes. Raises MqttError."""
        self._unsent = dict.fromkeys(self._renders)
        while True:
            await self.flush(sender)
            if self._ending:
                return
            await self._news.wait()
            self._news.clear()

    async def _send(self, sender: Sender, topics: list[str]) -> None:
        """Side by side; a topic never twice at once."""
        for topic in topics:
            del self._unsent[topic]
        async with asyncio.TaskGroup() as sends:
            for topic in topics:
                sends.create_task(self._send_one(sender, topic), name="publish state")

    async def _send_one(self, sender: Sender, topic: str) -> None:
        if topic in self._paused:
            return
        render = self._renders[topic]
        payload = render()
        if not await sender.send(topic, payload, retain=True):
            return
        if not payload and self._renders.get(topic) is render:
            del self._renders[topic]
            self._unsent.pop(topic, None)
            self._erased(topic)
