"""Makes real clips for tests with PyAV, and plays sources to their end.

Every frame of a made clip is one flat grey whose luma tells its index: 16 + 2 * index (to 115 frames).
"""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from streamer.ingest.address import address
from streamer.ingest.frame import Frame
from streamer.ingest.libav_source import VideoSource
from streamer.ingest.pacing import Clock
from streamer.ingest.source import Source, open_source
from streamer.ingest.stream import SourceHooks, StreamEnded
from streamer.settings import CameraSettings


def write_clip(
    path: Path,
    frames: int = 50,
    *,
    fps: int = 25,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    form: str | None = None,
    fast_start: bool = True,
    noise: bool = False,
) -> Path:
    """`noise` fills the pictures, so that the file is large enough to damage."""
    options = {"movflags": "faststart"} if fast_start and path.suffix == ".mp4" else {}
    random = np.random.default_rng(7)
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0", "g": str(fps), "crf": "5", "x265-params": "log-level=none"}
        for index in range(frames):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = random.integers(0, 255, size[::-1], np.uint8) if noise else 16 + 2 * index
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        for index in range(50):
            frame.pts = index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def index_of(frame: Frame) -> int:
    """Which frame of a made clip this is."""
    return round((float(frame.image.luma().mean()) - 16) / 2)


@dataclass
class Played:
    """What came out of a source before it ended, and how it ended."""

    frames: list[Frame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    end: BaseException | None = None

    def hooks(self) -> SourceHooks:
        return SourceHooks(
            dropped=lambda: self.counts.update(["dropped"]), failed=lambda code: self.counts.update([code])
        )


async def play(url: str | Path, *, most: int | None = None, first_number: int = 0, **settings) -> Played:
    """Takes frames until the source ends or `most` are there; `pace` is fastest unless told otherwise."""
    camera = CameraSettings.model_validate({"url": str(url), "pace": "fastest", "fps": 120, **settings})
    played = Played()
    try:
        async with asyncio.timeout(30), open_source("door", camera, str(url), first_number, played.hooks()) as source:
            while most is None or len(played.frames) < most:
                played.frames.append(await source.take())
    except StreamEnded as end:
        played.end = end
    return played


async def drain(source: Source, into: list[Frame] | None = None) -> None:
    """Takes frames until the source raises."""
    while True:
        frame = await source.take()
        if into is not None:
            into.append(frame)


class SimulatedTime:
    """A clock on which waiting takes no time at all: it jumps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waited_s: list[float] = []
        self.clock = Clock(unix_s=lambda: self.now_s + 1e9, monotonic_s=lambda: self.now_s, wait=self.wait)

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waited_s.append(seconds)
        self.now_s += seconds
        time.sleep(0)  # let the loop's thread in
        return stop.is_set()

    def source(self, path: Path, hooks: SourceHooks, **settings) -> VideoSource:
        camera = CameraSettings.model_validate({"url": str(path), **settings})
        return VideoSource(address("door", camera, str(path)), camera, 0, hooks, self.clock)


def camera_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("camera-")]


def assert_no_camera_thread(within_s: float = 60.0) -> None:
    """That each ends. One that is within a read when its source is left ends with that: longer than any limit here."""
    give_up = time.monotonic() + within_s
    for thread in threading.enumerate():
        if thread.name.startswith("camera-"):
            thread.join(max(give_up - time.monotonic(), 0))
    assert camera_threads() == []
