"""As much of an MQTT 5 broker as a publisher meets: one that refuses and stays, as most do, or hangs up.

What to answer is scripted; what was published comes out in order. Runs on the loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from streamer.events.event import IdentityEvent
from tests.streamer.messages import word_of

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14
HANG_UP = -1
IMPLEMENTATION_SPECIFIC, NOT_AUTHORIZED, TAKEN_OVER, TOO_LARGE, QUOTA_EXCEEDED = 0x83, 0x87, 0x8E, 0x95, 0x97


@dataclass
class ScriptedBroker:
    """refuse(topic, payload) gives a reason code, 0 to take the message, HANG_UP to end the connection.

    lets_in(client id) is asked at a login. may_read: a subscription does not cost the connection. taken: (topic,
    payload) of each that was. connections: how many there were; open: are. most_at_once: messages that came together,
    none of them answered.
    """

    refuse: Callable[[str, bytes], int]
    receive_maximum: int = 65_535
    lets_in: Callable[[str], bool] = lambda _: True
    may_read: bool = True
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    client_ids: list[str] = field(default_factory=list)
    subscriptions: int = 0
    connections: int = 0
    open: int = 0
    most_at_once: int = 0
    port: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def words(self, topic: str) -> list[str]:
        """Of the events that were taken on topics that begin so."""
        return [
            word_of(IdentityEvent.model_validate_json(payload))
            for name, payload in self.taken
            if name.startswith(topic) and "/identity/" in name
        ]

    def hang_up(self, reason: int) -> None:
        """End the newest connection, and say why."""
        self._writers[-1].write(_packet(DISCONNECT, bytes([reason, 0])))
        self._writers[-1].close()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.append(writer)
        with suppress(ConnectionError):
            await self._hear(reader, writer)
        self.open -= 1
        writer.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        while data := await reader.read(1 << 16):
            buffer += data
            packets, buffer = _packets(buffer)
            self.most_at_once = max(self.most_at_once, sum(kind == PUBLISH for kind, _ in packets))
            for kind, body in packets:
                answer = self._answer(kind, body)
                if answer is None:
                    return
                writer.write(answer)
            await asyncio.sleep(0)

    def _answer(self, kind: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            at = 11 + body[10]  # past name, level, flags, keepalive and properties
            self.client_ids.append(body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")].decode())
            if not self.lets_in(self.client_ids[-1]):
                return _packet(CONNACK, bytes([0, NOT_AUTHORIZED, 0]))
            return _packet(CONNACK, bytes([0, 0, 3, 0x21]) + self.receive_maximum.to_bytes(2, "big"))
        if kind == PUBLISH:
            length = int.from_bytes(body[:2], "big")
            topic, identifier = body[2 : 2 + length].decode(), body[2 + length : 4 + length]
            payload = body[5 + length :]  # no properties: their length is 0
            code = self.refuse(topic, payload)
            if code == HANG_UP:
                return None
            if code:
                self.refused.append(topic)
            else:
                self.taken.append((topic, payload))
            return _packet(PUBACK, identifier + bytes([code, 0]))
        if kind == SUBSCRIBE:
            self.subscriptions += 1
            if not self.may_read:
                return None
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return _packet(kind + 1, body[:2] + bytes(5))  # no properties, each of four filters granted
        return _packet(PINGRESP, b"") if kind == PINGREQ else b""


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind << 4, len(body)]) + body


def _packets(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole packets at the beginning, (kind, body) each, and what is left."""
    packets = []
    while len(data) >= 2:
        length, at = 0, 1
        while at < len(data):
            length |= (data[at] & 0x7F) << 7 * (at - 1)
            at += 1
            if data[at - 1] < 0x80:
                break
        else:
            break
        if len(data) < at + length:
            break
        packets.append((data[0] >> 4, data[at : at + length]))
        data = data[at + length :]
    return packets, data
