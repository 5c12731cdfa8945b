"""What viewers of a camera cost, and how soon they see it; a table in Markdown on stdout.

    python scripts/measure-viewers.py --clip CLIP.mp4 [--fps 10] [--viewers 0 1 2 4]

A real service plays the clip round and round in a process of its own; this one views it by WHEP with aiortc. CPU is the
service's, in percent of one core, over --seconds; first picture: from the POST of the offer to a decoded one. Blocks
for a minute or two.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess

SETTLE_S = 3.0


class Viewer:
    """One that counts its pictures."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTransceiver("video", direction="recvonly")
        self.connection.createDataChannel("boxes").on("message", self._heard)
        self.pictures = self.messages = 0
        self.first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._play)

    async def open(self, client: httpx.AsyncClient, token: str) -> float:
        """Seconds to the first picture."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        started_s = time.monotonic()
        answer = await client.post("/whep/door", content=self.connection.localDescription.sdp, headers=headers)
        answer.raise_for_status()
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        async with asyncio.timeout(20):
            await self.first.wait()
        return time.monotonic() - started_s

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.connection.close()

    def _heard(self, _: str) -> None:
        self.messages += 1

    def _play(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._count(track), name="viewer"))

    async def _count(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                await track.recv()
                self.pictures += 1
                self.first.set()


async def measure(service: ServiceProcess, token: str, viewers: int, seconds: float) -> list[str]:
    """One row: viewers, CPU, pictures and messages a second at each, first picture."""
    assert service.http is not None
    process = psutil.Process(service.pid)
    async with httpx.AsyncClient(base_url=service.http, timeout=20) as client:
        watching = [Viewer() for _ in range(viewers)]
        firsts = [await viewer.open(client, token) for viewer in watching]
        await asyncio.sleep(SETTLE_S)
        counted = [(viewer.pictures, viewer.messages) for viewer in watching]
        before, started_s = process.cpu_times(), time.monotonic()
        await asyncio.sleep(seconds)
        after, took_s = process.cpu_times(), time.monotonic() - started_s
        cpu = (after.user - before.user + after.system - before.system) / took_s
        rates = [
            ((viewer.pictures - pictures) / took_s, (viewer.messages - messages) / took_s)
            for viewer, (pictures, messages) in zip(watching, counted, strict=True)
        ]
        for viewer in watching:
            await viewer.close()
    shown = [f"{statistics.mean(values):.1f}" if (values := [rate[kind] for rate in rates]) else "" for kind in (0, 1)]
    first = f"{statistics.median(firsts):.2f} (most {max(firsts):.2f})" if firsts else ""
    return [str(viewers), f"{100 * cpu:.1f}", *shown, first]


async def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        folder = Path(name)
        camera = {"url": str(arguments.clip.resolve()), "fps": arguments.fps, "loop": True}
        config = {"paths": {"data": "data"}, "mqtt": {"port": broker.port}, "cameras": {"door": camera}}
        config["ingest"] = {"webrtc": {"viewers": 64}}
        service = ServiceProcess(folder, config)
        token = json.loads(service.run("tokens", "make", "measure", "--role", "viewer", "--json"))["token"]
        with service:
            await service.until_ready("camera door")
            await asyncio.sleep(SETTLE_S)
            tell("| viewers | CPU of the service, % | pictures/s | messages/s | first picture, s |")
            tell("|---|---|---|---|---|")
            for viewers in arguments.viewers:
                row = await measure(service, token, viewers, arguments.seconds)
                tell(f"| {' | '.join(row)} |")
                await asyncio.sleep(SETTLE_S)
            tell(
                f"\nencoded {await service.metric('whosthere_view_frames_total', outcome='encoded'):.0f}, dropped "
                f"{await service.metric('whosthere_view_frames_total', outcome='dropped'):.0f}, RSS "
                f"{psutil.Process(service.pid).memory_info().rss / 2**20:.0f} MiB"
            )


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--viewers", type=int, nargs="+", default=[0, 1, 2, 4, 0])
    parser.add_argument("--seconds", type=float, default=12.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
