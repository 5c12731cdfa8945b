"""`bench --soak`: cameras that are cut off every ten seconds, publishers that are killed; does anything grow?

A clip goes in; a line of RSS, threads and file descriptors every half minute comes out.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import Counter

from streamer.app import Service, running_service
from streamer.bench.parts import Parts
from streamer.bench.processes import broker_process, cutting_server
from streamer.bench.publishers import PASSWORD, USER, failing_plainly, publisher
from streamer.settings import PUBLISH, CameraSettings, Settings

CAMERAS, PUBLISHED = 4, 2
RECONNECT_S = 10.0
REPORT_S = 30.0


@dataclass(frozen=True, slots=True)
class SoakSample:
    """What the process holds at one moment."""

    at_s: float
    rss_mib: float
    threads: int
    descriptors: int
    reconnects: int
    frames: int
    events: int


async def run_soak(settings: Settings, clip: Path, seconds: float, folder: Path, parts: Parts) -> list[SoakSample]:
    """Run four cameras, each reopened every ten seconds, and two whose publisher (ffmpeg) is killed as often.

    Samples the process as they go; where something breaks, those until then.
    """
    samples: list[SoakSample] = []
    await parts.run("soak", _soaked(settings, clip, seconds, folder, parts.say, samples))
    return samples


async def _soaked(
    settings: Settings, clip: Path, seconds: float, folder: Path, say: Callable[[str], None], samples: list[SoakSample]
) -> None:
    """Into `samples`. Raises BenchFailed where a publisher can't start, or ends by itself."""
    async with broker_process() as port, cutting_server(clip, RECONNECT_S) as url:
        camera = CameraSettings(url=url, fps=10.0)
        pushed = CameraSettings(url=PUBLISH, user=USER, password=PASSWORD, fps=10.0)
        settings = settings.apart_in(
            folder,
            cameras={f"cam{number}": camera for number in range(CAMERAS)}
            | {f"pushed{number}": pushed for number in range(PUBLISHED)},
            ingest=settings.ingest.model_copy(
                update={"rtsp": settings.ingest.rtsp.model_copy(update={"host": "127.0.0.1", "port": 0})}
            ),
            mqtt=settings.mqtt.model_copy(update={"host": "127.0.0.1", "port": port}),
            http=settings.http.model_copy(update={"port": 0}),
        )
        with failing_plainly():
            async with running_service(settings) as service, asyncio.TaskGroup() as tasks:
                publishing = [tasks.create_task(_publish(service, clip, f"pushed{n}")) for n in range(PUBLISHED)]
                started_s = time.monotonic()
                while (at_s := time.monotonic() - started_s) < seconds:
                    samples.append(_sample(at_s, service))
                    say(line_of(samples[-1]))
                    await asyncio.sleep(min(REPORT_S, seconds - at_s))
                samples.append(_sample(at_s, service))
                say(line_of(samples[-1]))
                for task in publishing:
                    task.cancel()


async def _publish(service: Service, clip: Path, camera: str) -> None:
    """A publisher that is killed every so often and started anew, until it is cancelled. Raises BenchFailed."""
    assert service.rtsp is not None
    while True:
        async with publisher(clip, service.rtsp.port, camera):
            await asyncio.sleep(RECONNECT_S)


def _sample(at_s: float, service: Service) -> SoakSample:
    process = psutil.Process(os.getpid())
    return SoakSample(
        at_s=round(at_s, 1),
        rss_mib=round(process.memory_info().rss / 2**20, 1),
        threads=threading.active_count(),
        descriptors=process.num_fds(),
        reconnects=total(service.metrics.camera_reconnects),
        frames=total(service.metrics.frames),
        events=total(service.metrics.events),
    )


def total(counter: Counter) -> int:
    """A counter over all its labels."""
    return int(sum(s.value for family in counter.collect() for s in family.samples if s.name.endswith("_total")))


def line_of(sample: SoakSample) -> str:
    """A sample as a line for people."""
    return (
        f"{sample.at_s:7.0f} s  RSS {sample.rss_mib:7.1f} MiB  {sample.threads:3d} threads  "
        f"{sample.descriptors:3d} descriptors  {sample.reconnects:4d} reconnects  {sample.frames:6d} frames  "
        f"{sample.events:5d} events"
    )
