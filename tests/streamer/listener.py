"""A subscriber for tests: hears a broker's messages on a topic filter, and keeps them in order of arrival."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiomqtt import Client, MqttError

from streamer.events.event import IdentityEvent
from tests.streamer.messages import word_of


@dataclass
class Heard:
    """(topic, payload, retained) of each message."""

    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, topic: str, payload: bytes, retained: bool) -> None:
        self.messages.append((topic, payload, retained))
        self._news.set()

    def on(self, topic: str) -> list[bytes]:
        return [payload for heard, payload, _ in self.messages if heard == topic]

    def events(self) -> list[IdentityEvent]:
        return [
            IdentityEvent.model_validate_json(payload) for topic, payload, _ in self.messages if "/identity/" in topic
        ]

    def words(self) -> list[str]:
        return [word_of(event) for event in self.events()]

    async def until(self, condition: Callable[[], object], within_s: float = 20.0) -> None:
        """Wait for a condition on what was heard."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def listening(
    port: int, topic: str = "#", *, session: str | None = None, username: str | None = None, password: str | None = None
) -> AsyncIterator[Heard]:
    """Hears everything from the moment it yields. A named session is the broker's to keep: it outlives outages."""
    heard, ready = Heard(), asyncio.Event()

    async def listen() -> None:
        while True:
            try:
                async with Client(
                    "127.0.0.1",
                    port,
                    identifier=session,
                    clean_session=session is None,
                    username=username,
                    password=password,
                ) as client:
                    await client.subscribe(topic, qos=1)
                    ready.set()
                    async for message in client.messages:
                        if message.topic.matches(topic):  # amqtt sends what is retained elsewhere, too
                            heard.add(message.topic.value, bytes(message.payload), message.retain)
            except MqttError:
                if session is None:
                    raise
                await asyncio.sleep(0.05)

    task = asyncio.create_task(listen(), name="listen")
    waiting = asyncio.create_task(ready.wait(), name="wait for the subscription")
    try:
        async with asyncio.timeout(20):
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield heard
    finally:
        for running in (task, waiting):
            running.cancel()
        await asyncio.wait((task, waiting))
