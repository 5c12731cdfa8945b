#!/usr/bin/env python3
"""How long it takes from opening a camera to its first picture, by each way in.

    scripts/measure-first-picture.py [--times 10] [--clip CLIP.mp4] [--only rtmp]

The clip (H.264; without one 25 pictures a second of 1280x720 are made, with a keyframe each second) is sent in real
time by real senders on this machine (tests/live/ways_in.py): RTSP by GStreamer's server, the rest by ffmpeg. So is
what is published, timed from ffmpeg's start; "opened" is its RECORD. WHIP: scripts/measure-whip.py. Blocks for minutes.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.source import PublishedSource
from streamer.ingest.rtsp.server import RtspServer
from streamer.ingest.source import open_source
from streamer.settings import CameraSettings, RtspIngestSettings
from streamer.telemetry.metrics import Metrics
from tests.live.publishers import Transport, by_ffmpeg
from tests.live.ways_in import WAYS
from tests.streamer.ingest.clips import write_clip


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def first_picture_s(url: str, transport: str) -> tuple[float, float]:
    """Until it is open, and until its first picture is there."""
    camera = CameraSettings.model_validate({"url": url, "transport": transport, "fps": 25})
    started_s = time.monotonic()
    async with asyncio.timeout(30), open_source("door", camera, url) as source:
        open_s = time.monotonic() - started_s
        await source.take()
        return open_s, time.monotonic() - started_s


async def published_s(clip: Path, transport: Transport, log: Path) -> tuple[float, float]:
    """Until somebody publishes, and until the first picture is there, from ffmpeg's start."""
    point = PublishPoint("door", CameraSettings(url="publish://", password="measured", fps=25))
    async with RtspServer(RtspIngestSettings(port=0), {"door": point}, Metrics()) as server:
        running = asyncio.create_task(server.run(), name="rtsp ingest")
        url = f"rtsp://door:measured@127.0.0.1:{server.port}/door"
        started_s = time.monotonic()
        with by_ffmpeg(clip, url, log, transport=transport):
            async with asyncio.timeout(30), PublishedSource(point, point.camera) as source:
                open_s = time.monotonic() - started_s
                await source.take()
                first_s = time.monotonic() - started_s
        running.cancel()
        await asyncio.wait([running])
        return open_s, first_s


def row(name: str, found: Sequence[tuple[float, float]]) -> str:
    opened, first = (sorted(each) for each in zip(*found, strict=True))
    middle = len(found) // 2
    return f"| {name} | {opened[middle]:.2f} s | {first[middle]:.2f} s | {first[-1]:.2f} s |"


def main(options: argparse.Namespace) -> None:
    def is_wanted(name: str) -> bool:
        return not options.only or any(word in name for word in options.only)

    transports: tuple[Transport, ...] = ("tcp", "udp")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        clip = options.clip or write_clip(work / "clip.mp4", 100, size=(1280, 720))
        say("| way in | opened, median | first picture, median | most |\n|---|---|---|---|")
        for way, sent in WAYS.items():
            for transport in transports if way == "rtsp" else ("tcp",):
                name = f"{way}, {transport}" if way == "rtsp" else way
                if not is_wanted(name):
                    continue
                found = []
                for number in range(options.times):
                    with sent(clip=clip, folder=work / f"{name}-{number}") as url:
                        time.sleep(0.13 * number)  # another moment between two keyframes each time
                        found.append(asyncio.run(first_picture_s(url, transport)))
                say(row(name, found))
        for transport in transports:
            if is_wanted(name := f"published rtsp, {transport}"):
                log = work / "publisher.log"
                say(row(name, [asyncio.run(published_s(clip, transport, log)) for _ in range(options.times)]))


if __name__ == "__main__":
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--times", type=int, default=10)
    wanted.add_argument("--clip", type=Path)
    wanted.add_argument("--only", action="append", help="ways in with this in their name; repeatable")
    main(wanted.parse_args())
