#!/usr/bin/env python3
"""How long it takes from opening a camera to its first picture, by each way in.

    scripts/measure-first-picture.py [--times 10] [--clip CLIP.mp4] [--only rtmp]

The clip (H.264; without one 25 pictures a second of 1280x720 are made, with a keyframe each second) is sent in real
time by real senders on this machine (tests/live/ways_in.py): RTSP by GStreamer's server, the rest by ffmpeg. Blocks
for minutes.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from streamer.ingest.source import open_source
from streamer.settings import CameraSettings
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


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        clip = options.clip or write_clip(work / "clip.mp4", 100, size=(1280, 720))
        say("| way in | opened, median | first picture, median | most |\n|---|---|---|---|")
        for way, sent in WAYS.items():
            for transport in ("tcp", "udp") if way == "rtsp" else ("tcp",):
                name = f"{way}, {transport}" if way == "rtsp" else way
                if options.only and not any(word in name for word in options.only):
                    continue
                found = []
                for number in range(options.times):
                    with sent(clip=clip, folder=work / f"{name}-{number}") as url:
                        time.sleep(0.13 * number)  # another moment between two keyframes each time
                        found.append(asyncio.run(first_picture_s(url, transport)))
                opened, first = (sorted(each) for each in zip(*found, strict=True))
                middle = len(found) // 2
                say(f"| {name} | {opened[middle]:.2f} s | {first[middle]:.2f} s | {first[-1]:.2f} s |")


if __name__ == "__main__":
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--times", type=int, default=10)
    wanted.add_argument("--clip", type=Path)
    wanted.add_argument("--only", action="append", help="ways in with this in their name; repeatable")
    main(wanted.parse_args())
