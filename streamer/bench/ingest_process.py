"""What `bench --ingest` measures, a process of its own: cameras that are published to, pulled, or merely decoded.

Run as a program (python -m streamer.bench.ingest_process WAY CAMERAS SECONDS CLIP_OR_URL): `published` prints the port
that publishers are to come to; each way then measures from the moment at which every camera has given a picture, and
prints one JSON line. No face is looked for.
"""

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

import av
import uvloop
from av.codec.context import ThreadType

from streamer.bench.publishers import PASSWORD, USER
from streamer.errors import BenchFailed, StreamerError
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.ingest.rtsp.server import RtspServer
from streamer.ingest.source import Source, open_source
from streamer.settings import PUBLISH, CameraSettings, RtspIngestSettings
from streamer.telemetry.metrics import Metrics

WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """cpu_share: of one core. first_s: the slowest camera's first picture after it was opened (published: after the
    first publisher was let in). pictures: that were used."""

    cpu_share: float
    pictures: int
    first_s: float


def camera_name(number: int) -> str:
    """What its publisher's path is called."""
    return f"cam{number}"


async def _published(cameras: int, seconds: float) -> None:
    """Prints where, then what; and takes on until stdin ends, so that no publisher ends by itself."""
    settings = CameraSettings(url=PUBLISH, user=USER, password=PASSWORD)
    points = {name: PublishPoint(name, settings) for name in map(camera_name, range(cameras))}
    async with RtspServer(RtspIngestSettings(port=0), points, Metrics()) as server:
        _say(server.port)
        clock = asyncio.create_task(server.run(), name="rtsp ingest")
        try:
            async with _taken([PublishedSource(point, settings) for point in points.values()]) as taken:
                _tell(await taken.measured(seconds))
                await asyncio.to_thread(sys.stdin.read)
        finally:
            clock.cancel()


async def _pulled(cameras: int, seconds: float, url: str) -> None:
    settings = CameraSettings(url=url)
    async with _taken([open_source(camera_name(n), settings, url) for n in range(cameras)]) as taken:
        _tell(await taken.measured(seconds))


class _Taken:
    """What comes from all of them, counted."""

    def __init__(self, cameras: int) -> None:
        self._began_s = time.monotonic()
        self._counts = [0] * cameras
        self._all_there = asyncio.Event()

    async def run(self, number: int, source: Source) -> None:
        async with source:
            while True:
                await source.take()
                self._counts[number] += 1
                if all(self._counts):
                    self._all_there.set()

    async def measured(self, seconds: float) -> Measured:
        """For so long from the moment at which each has given a picture. Raises TimeoutError where one gives none."""
        async with asyncio.timeout(WITHIN_S):
            await self._all_there.wait()
        first_s = time.monotonic() - self._began_s
        before, cpu_s = sum(self._counts), time.process_time()
        await asyncio.sleep(seconds)
        return Measured((time.process_time() - cpu_s) / seconds, sum(self._counts) - before, first_s)


@asynccontextmanager
async def _taken(sources: Sequence[Source]) -> AsyncIterator[_Taken]:
    """Taken from until the context is left: a publisher whose camera closes ends by itself."""
    taken = _Taken(len(sources))
    tasks = [asyncio.create_task(taken.run(*one), name=f"camera {one[0]}") for one in enumerate(sources)]
    try:
        yield taken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _decoded(cameras: int, seconds: float, clip: str, within_s: float = WITHIN_S) -> Measured:
    """The clip's packets, at their pace, straight into as many decoders: the least that it can cost.

    Raises BenchFailed where one gives no picture within that time.
    """
    stop, counts = threading.Event(), [0] * cameras
    threads = [threading.Thread(target=_decode, args=(clip, stop, counts, number)) for number in range(cameras)]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while not all(counts):
            if time.monotonic() - began_s > within_s or not all(thread.is_alive() for thread in threads):
                raise BenchFailed(f"{clip} gave no picture within {within_s:g} s; give one that can be decoded")
            time.sleep(0.01)
        first_s = time.monotonic() - began_s
        before, cpu_s = sum(counts), time.process_time()
        time.sleep(seconds)
        return Measured((time.process_time() - cpu_s) / seconds, sum(counts) - before, first_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _decode(clip: str, stop: threading.Event, counts: list[int], number: int) -> None:
    with suppress(av.FFmpegError, IndexError), av.open(clip) as container:  # who waits for its pictures says so
        video = container.streams.video[0]
        rate = float(video.average_rate or 25)
        packets = [packet for packet in container.demux(video) if packet.size]
        context = video.codec_context
        context.thread_type, context.thread_count = ThreadType.NONE, 1
        began_s = time.monotonic()
        for sent, packet in enumerate(itertools.cycle(packets)):
            if stop.wait(max(0.0, began_s + sent / rate - time.monotonic())):
                return
            counts[number] += len(context.decode(packet))


def _tell(measured: Measured) -> None:
    _say(json.dumps(asdict(measured)))


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    """The process itself."""
    way, cameras, seconds, where = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    try:
        match way:
            case "published":
                uvloop.run(_published(cameras, seconds))
            case "pulled":
                uvloop.run(_pulled(cameras, seconds, where))
            case _:
                _tell(_decoded(cameras, seconds, where))
    except TimeoutError:
        sys.exit(f"a camera gave no picture within {WITHIN_S:g} s")
    except StreamerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
