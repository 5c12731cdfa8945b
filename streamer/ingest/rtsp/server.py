"""The RTSP server for cameras that push: one listening socket for all of them, opened only where there is one.

Points and settings in; publications come to the points. Everything runs on the loop, nothing waits.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streamer.errors import IngestAddressInvalid
from streamer.ingest.publish.point import PublishPoints
from streamer.ingest.rtsp.connection import Connection
from streamer.ingest.rtsp.front_desk import FrontDesk
from streamer.listen import BACKLOG, listen
from streamer.settings import RtspIngestSettings
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

TICK_S = 0.02  # packets that come out of their order are waited for by this clock
_SLOW_TICKS = 25  # of these, one for all that has time


class RtspServer:
    """Enter it to listen, run() it, leave it to hang up on everybody."""

    def __init__(
        self,
        settings: RtspIngestSettings,
        points: PublishPoints,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """points: looked at for each request; cameras may come and go."""
        self.port = 0  # 0: not open
        self._settings = settings
        self._clock = clock
        self._desk = FrontDesk(points, metrics, clock)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Raises PortInUse, IngestAddressInvalid."""
        if self._desk.points:
            await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen from now on, for a first camera that comes at run time too. Raises as entering does."""
        if self._server is not None:
            return
        host = self._settings.host
        listener = await listen(host, self._settings.port, "ingest.rtsp", IngestAddressInvalid)
        self.port = listener.getsockname()[1]
        if not _is_loopback(listener):
            log.warning(
                "ingest.rtsp.host is %s: publishers log in by Digest there, and their video goes unencrypted; "
                "keep the port to a network that you trust",
                host,
            )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
        log.info("rtsp ingest: publishers come to rtsp://%s:%d/<camera>", host, self.port)

    async def close(self) -> None:
        """Nobody comes any more, and whoever is there is gone."""
        server, self._server, self.port = self._server, None, 0
        if server is not None:
            server.close()
            for caller in self._desk.callers():
                caller.hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await server.wait_closed()

    async def run(self) -> None:
        """The clock of all connections, until it is cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            now_s = self._clock()
            ticks += 1
            for caller in self._desk.callers():
                if not caller.is_waiting or ticks % _SLOW_TICKS == 0:
                    caller.tick(now_s)
            if ticks % _SLOW_TICKS == 0:
                self._desk.tick(now_s)

    def _connection(self) -> Connection:
        return Connection(self._desk)


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(str(listener.getsockname()[0]).partition("%")[0]).is_loopback
