"""How soon frames flow once a camera is back, and what a thousand reconnects leave behind; lines on stdout.

    python scripts/measure-reconnects.py --outages 5 60
    python scripts/measure-reconnects.py --reconnects 1000

The real service, with cameras of the tests' RTSP server (Debian's gir1.2-gst-rtsp-server-1.0), which is killed and
started again, or stopped (SIGSTOP) and continued, or behind a relay whose queue is full, so that packets vanish. Blocks
for minutes.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from streamer.app import Service, running_service
from streamer.bench.processes import cutting_server
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import load
from tests.faces import KNOWN, write_film
from tests.live.servers import RtspServer, unused_port
from tests.live.service import until

CAMERAS = 8
CUT_S = 0.2


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Relay:
    """To the server, or to nobody: then whoever connects gets no answer, not even a refusal."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._queue: list[socket.socket] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None

    async def come(self) -> None:
        for waiting in self._queue:
            waiting.close()
        self._queue.clear()
        self._server = await asyncio.start_server(self._relay, sock=self._socket.dup(), backlog=64)

    def go(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._listener = self._socket.dup()
        self._listener.listen(0)
        for _ in range(4):
            self._queue.append(socket.socket())
            self._queue[-1].setblocking(False)
            self._queue[-1].connect_ex(("127.0.0.1", self.port))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers += [writer, onward]
        await asyncio.gather(self._pipe(reader, onward), self._pipe(there, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()


def settings_of(folder: Path, cameras: dict[str, CameraSettings]) -> Settings:
    settings = load(overrides=[f"paths.data={folder}", "http.enabled=false", f"mqtt.port={unused_port()}"])
    return settings.model_copy(update={"cameras": cameras})


async def back_after(
    service: Service, outage_s: float, go: Callable[[], None], come: Callable[[], Awaitable[None]]
) -> list[float]:
    """Seconds from a server's return to each camera's next frame."""
    go()
    await asyncio.sleep(outage_s)
    await come()
    back_s = time.monotonic()
    before = {camera.name: camera.asked for camera in service.cameras}
    took: dict[str, float] = {}
    while len(took) < len(before):
        for camera in service.cameras:
            if camera.asked > before[camera.name]:
                took.setdefault(camera.name, time.monotonic() - back_s)
        await asyncio.sleep(0.005)
    return list(took.values())


async def measure_outages(folder: Path, clip: Path, outages_s: list[float], rounds: int) -> None:
    mounts = {f"cam{number}": clip for number in range(CAMERAS)}
    with RtspServer(unused_port(), mounts) as server:
        relay = Relay(server.port)
        await relay.come()

        def freeze() -> None:
            os.kill(server.pid, signal.SIGSTOP)

        async def thaw() -> None:
            os.kill(server.pid, signal.SIGCONT)

        async def start() -> None:
            server.start()

        ways: list[tuple[str, int, Callable[[], None], Callable[[], Awaitable[None]]]] = [
            ("killed", server.port, server.kill, start),
            ("stopped", server.port, freeze, thaw),
            ("not answered at all", relay.port, relay.go, relay.come),
        ]
        for how, port, go, come in ways:
            urls = {name: server.url(name).replace(f":{server.port}/", f":{port}/") for name in mounts}
            cameras = {name: CameraSettings(url=url, fps=10) for name, url in urls.items()}
            async with running_service(settings_of(folder, cameras)) as service:
                for outage_s in outages_s:
                    await until(lambda: all(camera.status.state == "online" for camera in service.cameras))
                    took = [s for _ in range(rounds) for s in await back_after(service, outage_s, go, come)]
                    took.sort()
                    say(
                        f"{how} for {outage_s:.0f} s: {len(took)} returns, first frame after "
                        f"{took[len(took) // 2]:.2f} s (median), {took[-1]:.2f} s (most)"
                    )


async def measure_reconnects(folder: Path, clip: Path, count: int) -> None:
    process = psutil.Process()
    async with cutting_server(clip, CUT_S) as url:
        cameras = {f"cam{number}": CameraSettings(url=url, fps=10) for number in range(CAMERAS)}
        async with running_service(settings_of(folder, cameras)) as service:

            def done() -> int:
                series = service.metrics.camera_reconnects.collect()[0].samples
                return int(sum(one.value for one in series if one.name.endswith("_total")))

            started_s, told = time.monotonic(), -1
            while told < count:
                if done() // 100 * 100 > told:
                    told = done() // 100 * 100
                    say(
                        f"{done():5d} reconnects  {time.monotonic() - started_s:5.0f} s  "
                        f"RSS {process.memory_info().rss / 2**20:6.1f} MiB  {threading.active_count()} threads  "
                        f"{process.num_fds()} descriptors"
                    )
                await asyncio.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outages", type=float, nargs="*", default=[], metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=2, help="of each outage")
    parser.add_argument("--reconnects", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = write_film(Path(folder) / "clip.mp4", ([KNOWN], 2))
        if args.outages:
            asyncio.run(measure_outages(Path(folder) / "outages", clip, args.outages, args.rounds))
        if args.reconnects:
            asyncio.run(measure_reconnects(Path(folder) / "reconnects", clip, args.reconnects))


if __name__ == "__main__":
    main()
