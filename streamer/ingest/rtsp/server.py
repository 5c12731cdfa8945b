"""The RTSP server for cameras that push: one listening socket for all of them, opened only where there is one.

Points and settings in; publications come to the points. Everything runs on the loop, nothing waits.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streamer.addresses import is_of_this_machine
from streamer.errors import IngestAddressInvalid, PortInUse, StreamerError
from streamer.ingest.address import publishers_url
from streamer.ingest.publish.point import PublishPoints
from streamer.ingest.rtsp.connection import Connection
from streamer.ingest.rtsp.front_desk import FrontDesk
from streamer.ingest.rtsp.messages import SERVER
from streamer.listen import BACKLOG, listen, resolve
from streamer.settings import RtspIngestSettings
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

TICK_S = 0.02  # packets that come out of their order are waited for by this clock
SLOW_TICK_S = 0.1  # what has time
RETRY_S = 3.0  # where the address could not be listened at
_LOOK_S = 2.0


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
        self.trouble = ""  # why it is not, though a camera pushes
        self._settings = settings
        self._clock = clock
        self.desk = FrontDesk(points, metrics, clock)
        self._server: asyncio.Server | None = None
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Raises PortInUse, IngestAddressInvalid."""
        if self.desk.points:
            await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def follow(self) -> None:
        """Cameras have come or gone: listen where one pushes, else no more. What can't be opened is told, and tried
        again by run()."""
        async with self._changing:
            before, self.trouble = self.trouble, ""
            if not self.desk.points:
                await self.close()
                return
            try:
                await self.open()
            except StreamerError as error:
                self.trouble = f"{error} [{error.code}]"
                if self.trouble != before:
                    log.warning("%s", error, extra={"code": error.code})

    async def open(self) -> None:
        """Listen from now on, for a first camera that comes at run time too. Raises as entering does."""
        if self._server is not None:
            return
        host = self._settings.host
        listener = listen(await resolve(host, self._settings.port, "ingest.rtsp", IngestAddressInvalid))
        self.port = listener.getsockname()[1]
        if not is_of_this_machine(str(listener.getsockname()[0])):
            log.warning(
                "ingest.rtsp.host is %s: publishers log in by Digest there, and their video goes unencrypted; "
                "keep the port to a network that you trust",
                host,
            )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
        where = publishers_url(self._settings.model_copy(update={"port": self.port}), "CAMERA")
        log.info("rtsp ingest: publishers come to %s", where)

    async def close(self) -> None:
        """Nobody comes any more, and whoever is there is gone."""
        server, self._server, self.port = self._server, None, 0
        if server is not None:
            server.close()
            for caller in self.desk.callers():
                caller.hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await server.wait_closed()

    async def run(self) -> None:
        """The clock of all connections, until it is cancelled."""
        slow_s = retry_s = 0.0
        while True:
            callers = self.desk.callers()
            publishing = [caller for caller in callers if not caller.is_waiting]
            await asyncio.sleep(TICK_S if publishing else SLOW_TICK_S)
            now_s = time.monotonic()
            is_slow = now_s >= slow_s
            for caller in callers if is_slow else publishing:
                caller.tick(self._clock())
            if is_slow and self.trouble and now_s >= retry_s:
                retry_s = now_s + RETRY_S
                await self.follow()
            if is_slow:
                slow_s = now_s + SLOW_TICK_S
                self.desk.tick(self._clock())

    def _connection(self) -> Connection:
        return Connection(self.desk)


async def look(settings: RtspIngestSettings) -> str:
    """Whether the address is free, or this server's already; in words. Raises PortInUse, IngestAddressInvalid."""
    where = f"{settings.host}:{settings.port}"
    try:
        listen(await resolve(settings.host, settings.port, "ingest.rtsp", IngestAddressInvalid)).close()
    except PortInUse:
        if not await _answers(settings):
            raise
        return f"the service listens on {where}"
    return f"{where} is free"


async def _answers(settings: RtspIngestSettings) -> bool:
    """Whether one of these servers is there."""
    try:
        async with asyncio.timeout(_LOOK_S):
            reader, writer = await asyncio.open_connection(settings.host, settings.port)
            try:
                writer.write(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
                return f"\r\nServer: {SERVER}\r\n".encode() in await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
