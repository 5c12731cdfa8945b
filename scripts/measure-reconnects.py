"""How soon frames flow once a camera is back, and what a thousand reconnects leave behind; lines on stdout.

    python scripts/measure-reconnects.py --outages 5 60
    python scripts/measure-reconnects.py --reconnects 1000

The real service, with cameras of the tests' RTSP server (Debian's gir1.2-gst-rtsp-server-1.0), which is killed and
started again, or stopped (SIGSTOP) and continued. Blocks for minutes.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from streamer.app import Service, running_service
from streamer.bench.processes import cutting_server
from streamer.settings import CameraSettings, Settings, load
from tests.faces import KNOWN, write_film
from tests.live.servers import RtspServer, unused_port
from tests.live.service import until

CAMERAS = 8
CUT_S = 0.2


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def settings_of(folder: Path, cameras: dict[str, CameraSettings]) -> Settings:
    settings = load(overrides=[f"paths.data={folder}", "http.enabled=false", f"mqtt.port={unused_port()}"])
    return settings.model_copy(update={"cameras": cameras})


async def back_after(
    service: Service, outage_s: float, go: Callable[[], None], come: Callable[[], None]
) -> list[float]:
    """Seconds from a server's return to each camera's next frame."""
    go()
    await asyncio.sleep(outage_s)
    come()
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
        cameras = {name: CameraSettings(url=server.url(name), fps=10) for name in mounts}
        async with running_service(settings_of(folder, cameras)) as service:
            await until(lambda: all(camera.status.state == "online" for camera in service.cameras))

            def freeze() -> None:
                os.kill(server.pid, signal.SIGSTOP)

            def thaw() -> None:
                os.kill(server.pid, signal.SIGCONT)

            for how, go, come in (("killed", server.kill, server.start), ("stopped", freeze, thaw)):
                for outage_s in outages_s:
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
