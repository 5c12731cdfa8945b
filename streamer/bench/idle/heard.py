"""What a subscriber hears of visits, with when it heard it: identity events, and since when each camera is online.

Messages of a broker come in; visits go out, each with its messages in order. On the benchmark's loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiomqtt import Client, Message, MqttError, ProtocolVersion

from streamer.errors import BenchFailed

PREFIX = "whosthere"


@dataclass(slots=True)
class Visit:
    """One visit as it was told: each message with time.time() of its hearing."""

    camera: str
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    @property
    def first_heard_at(self) -> float:
        return self.messages[0][0]

    @property
    def from_at(self) -> float:
        return float(self.messages[0][1]["first_seen_at"])

    @property
    def until_at(self) -> float:
        return max(float(document["captured_at"]) for _, document in self.messages)

    @property
    def height_share(self) -> float:
        """How far down in the picture its face was at first, 0 to 1."""
        document = self.messages[0][1]
        _, top, _, bottom = document["box"]
        return float((top + bottom) / 2 / document["frame"]["height"])

    @property
    def names(self) -> set[str]:
        return {str(one["person"]["name"]) for _, one in self.messages if (one.get("person") or {}).get("name")}


class Heard:
    """All of it. online_since: by camera, as the service told last."""

    def __init__(self) -> None:
        self.visits: dict[str, Visit] = {}
        self.online_since: dict[str, float] = {}
        self.began_at = time.time()
        self._known: set[tuple[str, int]] = set()

    def message(self, topic: str, payload: bytes, heard_at: float) -> None:
        _, _, camera, kind, *_ = topic.split("/")
        document = orjson.loads(payload)
        if kind == "status":
            if document.get("state") == "online":
                self.online_since[camera] = float(document["since"])
            return
        key = (document["event_id"], document["seq"])
        if key not in self._known:
            self._known.add(key)
            self.visits.setdefault(document["event_id"], Visit(camera)).messages.append((heard_at, document))


@asynccontextmanager
async def hearing(port: int) -> AsyncIterator[Heard]:
    """A subscriber as long as the context lasts. Raises BenchFailed where the broker goes."""
    heard, ready = Heard(), asyncio.Event()
    listening = asyncio.create_task(_listen(port, heard, ready), name="bench subscriber")
    waiting = asyncio.create_task(ready.wait(), name="subscribed")
    try:
        await asyncio.wait((listening, waiting), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            await listening
        yield heard
        if listening.done():
            await listening
    finally:
        for task in (listening, waiting):
            task.cancel()
        await asyncio.wait((listening, waiting))


async def _listen(port: int, heard: Heard, ready: asyncio.Event) -> None:
    try:
        async with Client("127.0.0.1", port, protocol=ProtocolVersion.V311) as client:
            for topic in (f"{PREFIX}/cameras/+/identity/+", f"{PREFIX}/cameras/+/status"):
                await client.subscribe(topic, qos=1)
            ready.set()
            async for message in client.messages:
                heard.message(*_parts(message), time.time())
    except MqttError as error:
        raise BenchFailed(f"the benchmark's subscriber lost its broker ({error})") from None


def _parts(message: Message) -> tuple[str, bytes]:
    payload = message.payload
    return str(message.topic), payload if isinstance(payload, bytes) else str(payload).encode()
