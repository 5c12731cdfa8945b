"""Between a publisher and the RTSP server: hands the connection on, and of UDP packets what a bad network would.

On the loop. The publisher is told the relay's ports in place of the server's; RTCP back to it goes by no relay.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

_PORTS = re.compile(rb"server_port=(\d+)-(\d+)")


class LossyRelay:
    """loss, swaps: shares of the packets that are lost, and overtaken by the next one to three; may be changed."""

    def __init__(self, to_port: int, seed: int) -> None:
        self.loss = self.swaps = 0.0
        self.port = 0
        self.pictures = 0  # begun by what the publisher sent so far
        self.lost = self.overtaken = 0
        self._to_port = to_port
        self._dice = random.Random(seed)
        self._held: list[tuple[int, bytes]] = []  # how many more go first, packet
        self._timestamp = b""
        self._transports: list[asyncio.DatagramTransport] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pipe(reader, onward))
                tasks.create_task(self._pipe(there, writer))
        finally:
            for each in (writer, onward):
                each.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if found := _PORTS.search(data):
                    ours = [await self._bound(int(port), is_rtp=not index) for index, port in enumerate(found.groups())]
                    data = data.replace(found[0], b"server_port=%d-%d" % tuple(ours))
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    async def _bound(self, to_port: int, *, is_rtp: bool) -> int:
        relay, loop = self, asyncio.get_running_loop()

        class Port(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                del addr
                for packet in relay.passed(data) if is_rtp else [data]:
                    transport.sendto(packet, ("127.0.0.1", to_port))

        made = await loop.create_datagram_endpoint(Port, ("127.0.0.1", 0))
        transport = cast(asyncio.DatagramTransport, made[0])
        self._transports.append(transport)
        return int(transport.get_extra_info("sockname")[1])

    def passed(self, packet: bytes) -> list[bytes]:
        """What comes out when this one comes in."""
        if packet[4:8] != self._timestamp:
            self._timestamp = packet[4:8]
            self.pictures += 1
        is_lost, is_overtaken = self._dice.random() < self.loss, self._dice.random() < self.swaps
        if is_lost:
            self.lost += 1
            return []
        if is_overtaken:
            self.overtaken += 1
            self._held.append((self._dice.randint(1, 3), packet))
            return []
        self._held = [(more - 1, one) for more, one in self._held]
        freed = [one for more, one in self._held if more == 0]
        self._held = [(more, one) for more, one in self._held if more]
        return [packet, *freed]

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


@asynccontextmanager
async def lossy_relay(to_port: int, seed: int = 1) -> AsyncIterator[LossyRelay]:
    """Loses nothing until it is told to."""
    relay = LossyRelay(to_port, seed)
    async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as server:
        relay.port = server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            relay.close()
