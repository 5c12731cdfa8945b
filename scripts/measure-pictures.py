#!/usr/bin/env python3
"""What cameras cost that are watched by pictures one by one, apart from decoding and looking; Markdown on stdout.

    python scripts/measure-pictures.py --clip CLIP.mp4 [--cameras 9] [--fps 5 10] [--seconds 12]

The service's part of it is this process, over a real server; the clip's pictures are decoded beforehand. Whoever looks
is another process, each camera by a WebSocket. Processor time, in percent of a core: on a machine that does other work
it is more, but not by what the other work takes.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av

from streamer.api.application import create_app
from streamer.api.server import serve_http
from streamer.api.v1 import camera_pictures
from streamer.ingest.frame import Frame, VideoImage
from streamer.live_view.view import LiveView
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics
from tests.live.service import until
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Looked

IMAGES = 60
FACES = [SeenFace((10, 20, 60, 90), 0.9, True, None, 0.71, 0.83)] * 3
LOOKS = """
import asyncio, sys
from websockets.asyncio.client import connect

async def look(number):
    url = f"ws://127.0.0.1:{sys.argv[1]}/api/v1/cameras/camera{number}/mjpeg"
    async with connect(url, additional_headers={"Authorization": sys.argv[2]}, compression=None, proxy=None) as told:
        async for _ in told:
            pass

async def all_of_them():
    await asyncio.gather(*(look(number) for number in range(int(sys.argv[3]))))

asyncio.run(all_of_them())
"""


class Cameras:
    """So many, each a view of its own, that play the same pictures."""

    def __init__(self, count: int, images: list[VideoImage]) -> None:
        self.metrics = Metrics()
        self.view = LiveView({}.get, self.metrics)
        self.names = [f"camera{number}" for number in range(count)]
        self._images = images
        self._frames = dict.fromkeys(self.names, 0)
        for name in self.names:
            self.view.view(name, 10.0)
            self.view.became(name, CameraStatus("online"))

    async def spent(self, fps: float, seconds: float) -> tuple[float, float]:
        """Percent of a core, and pictures that were encoded a second."""
        cpu_s, began_s, encoded = time.process_time(), time.monotonic(), self._encoded()
        await asyncio.gather(*(self._play(name, fps, began_s + seconds) for name in self.names))
        took_s = time.monotonic() - began_s
        return 100 * (time.process_time() - cpu_s) / took_s, (self._encoded() - encoded) / took_s

    def are_watched(self) -> bool:
        return all(self._sample("whosthere_viewers", camera=name) == 1 for name in self.names)

    async def _play(self, name: str, fps: float, until_s: float) -> None:
        view, next_s = self.view.view(name, fps), time.monotonic()
        while time.monotonic() < until_s:
            number = self._frames[name]
            self._frames[name] += 1
            image = self._images[number % len(self._images)]
            frame = Frame(number, image, time.time(), time.monotonic(), 0.001)
            view.taken(frame)
            if view.looks:
                view.looked(frame, FACES)
            next_s += 1 / fps
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    def _encoded(self) -> float:
        return sum(self._sample("whosthere_view_frames_total", camera=name, outcome="encoded") for name in self.names)

    def _sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def served(cameras: Cameras) -> AsyncIterator[tuple[int, str]]:
    """The port, and the header of whoever may look."""
    with tempfile.TemporaryDirectory() as name:
        guard, headers = guard_with_tokens(Path(name), cameras.metrics)
        streams = camera_pictures.streams(guard, cameras.metrics, HttpSettings())
        app = create_app(Looked(guard, cameras.metrics), [camera_pictures.routes(cameras.view, streams)])
        async with serve_http(app, "127.0.0.1", 0) as port, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cameras.view.run(), name="live view")
            await asyncio.sleep(0)
            yield port, headers["viewer"]["Authorization"]
            running.cancel()


async def run(arguments: argparse.Namespace) -> None:
    with av.open(str(arguments.clip)) as clip:
        images = [VideoImage(frame) for frame, _ in zip(clip.decode(video=0), range(IMAGES), strict=False)]
    before = os.getloadavg()[0]
    cameras = Cameras(arguments.cameras, images)
    sys.stdout.write(
        f"| {arguments.cameras} cameras of {images[0].width}x{images[0].height} | nobody looks | all | more |\n"
    )
    sys.stdout.write("|---|---|---|---|\n")
    async with served(cameras) as (port, secret):
        for fps in arguments.fps:
            none, _ = await cameras.spent(fps, arguments.seconds)
            looking = await asyncio.create_subprocess_exec(
                sys.executable, "-c", LOOKS, str(port), secret, str(arguments.cameras)
            )
            await until(cameras.are_watched)
            watched, encoded = await cameras.spent(fps, arguments.seconds)
            looking.kill()
            await looking.wait()
            what = f"{fps:g} a second each ({encoded:.1f} encoded)"
            sys.stdout.write(f"| {what} | {none:.1f} % | {watched:.1f} % | {watched - none:.1f} % |\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"| load (1 min) before, after; cores | {before:.1f} | {os.getloadavg()[0]:.1f} | {os.cpu_count()} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--cameras", type=int, default=9)
    parser.add_argument("--fps", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--seconds", type=float, default=12.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
