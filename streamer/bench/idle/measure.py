"""The parts of `bench --idle`: each takes the builds and clips, and gives its rows. On the benchmark's loop.

Cameras, scenes and the times for which they are watched are those of the table in docs/performance.md.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import ThreadType

from streamer.bench.calm import CALM_SHARE
from streamer.bench.clips import with_gap
from streamer.bench.idle.encode import ENCODINGS, Encoding, encoded
from streamer.bench.idle.people import People
from streamer.bench.idle.rotated import rotated
from streamer.bench.idle.scene import Scene, crowd, empty, hall, passage
from streamer.bench.idle.serving import Build, fresh_folder
from streamer.bench.idle.watched import Camera, Plan, Run, watched

STREAMS, VISITED_S = 16, 8.0  # two of them at any moment: a lap is eight times as long as a visit
LAP_S = STREAMS * VISITED_S / 2
HD_KBPS = 2048  # of 1080p25 with a constant bitrate
MANY, ROTATIONS = 64, 16
SCENES_LAP_S, SCENES_SIZE = 40.0, (960, 540)
BUSY, BUSY_FPS, GONE_AFTER_S = 8, 10.0, 0.5
FEW = 4
BARE_IMPORTS = "import streamer.app, os; print(open('/proc/self/statm').read().split()[1], os.sysconf('SC_PAGE_SIZE'))"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts need. longest_s: no measurement takes longer; None: each as long as it should."""

    builds: Mapping[str, Build]
    galleries: Mapping[str, Path]
    people: People
    config: Mapping[str, Any]
    clips: Path
    work: Path
    longest_s: float | None
    say: Callable[[str], None]

    def seconds(self, usual_s: float) -> float:
        return usual_s if self.longest_s is None else min(usual_s, self.longest_s)

    async def watched(self, build: str, plan: Plan) -> Run:
        run = await watched(self.builds[build], plan, self.galleries[build], self.work / "service")
        if run.others_share > CALM_SHARE:
            self.say(
                f"  {build}: other programs took {run.others_share:.0%} of the machine meanwhile; times say little"
            )
        if run.reopened:
            self.say(f"  {build}: cameras were opened again {run.reopened} times meanwhile")
        return run

    def plan(self, cameras: Mapping[str, Camera], usual_s: float, **config: Mapping[str, float]) -> Plan:
        seconds = self.seconds(usual_s)
        return Plan(cameras, seconds, {**self.config, **config}, settles_s=min(30.0, seconds))

    async def encoded(self, scene_name: str, scene: Scene, encodings: Mapping[str, Encoding]) -> dict[str, Path]:
        people = self.people if scene.walks else None
        return await asyncio.to_thread(encoded, scene, people, encodings, self.clips, scene_name)


async def decode_share(bench: Bench) -> float:
    """CPU seconds a second that decoding all frames of the quiet cameras takes: each by one thread, as the product has
    it, nothing done with the pictures."""
    scene = hall(bench.people, seconds=LAP_S)
    file = (await bench.encoded("streams", scene, _STREAMS))["vbr"]
    return STREAMS * await asyncio.to_thread(_decode_s, file) / scene.seconds


_STREAMS = {"vbr": Encoding(), "cbr": Encoding(rate="cbr", kbps=HD_KBPS)}


def _decode_s(file: Path) -> float:
    with av.open(str(file)) as container:
        video = container.streams.video[0]
        video.codec_context.thread_type, video.codec_context.thread_count = ThreadType.NONE, 1
        began_s = time.thread_time()
        for _ in container.decode(video):
            pass
        return time.thread_time() - began_s


async def streams_plan(bench: Bench, rate: str) -> Plan:
    """16 cameras of 1080p25 by RTSP, each somewhere else in the same lap."""
    scene = hall(bench.people, seconds=LAP_S)
    files = await bench.encoded("streams", scene, _STREAMS)
    cameras = {f"cam{number:02d}": Camera(files[rate], scene, number * LAP_S / STREAMS) for number in range(STREAMS)}
    return bench.plan(cameras, 56.0 if rate == "vbr" else 32.0)


async def many_plan(bench: Bench) -> Plan:
    """64 cameras of 720p15, files in real time."""
    scene = passage(bench.people, seconds=LAP_S)
    file = (await bench.encoded("many", scene, {"vbr": Encoding()}))["vbr"]
    starts = [number * LAP_S / ROTATIONS for number in range(ROTATIONS)]
    turned = [await asyncio.to_thread(rotated, file, start) for start in starts]
    cameras = {
        f"cam{number:02d}": Camera(turned[number % ROTATIONS], scene, starts[number % ROTATIONS], as_file=True)
        for number in range(MANY)
    }
    return bench.plan(cameras, LAP_S)


async def scenes_plan(bench: Bench, negative: Path | None) -> Plan:
    """Every kind of stream, a hall with weather, an empty one, and a real clip without faces."""
    visited = hall(bench.people, size=SCENES_SIZE, fps=15, seconds=SCENES_LAP_S, begins_s=16.0, cast=1)
    files = await bench.encoded("scene", visited, ENCODINGS)
    starts = [number * SCENES_LAP_S / len(files) for number in range(len(files))]
    cameras = {name: Camera(file, visited, start) for (name, file), start in zip(files.items(), starts, strict=True)}
    night = replace(visited, infrared_s=(8.0, 30.0))
    rain = replace(visited, rain_s=(0.0, SCENES_LAP_S))
    for name, scene in (("night", night), ("rain", rain), ("empty", empty(SCENES_SIZE, 15, SCENES_LAP_S))):
        file = (await bench.encoded(name, scene, {"vbr": Encoding(keyframe_s=2.0)}))["vbr"]
        cameras[name] = Camera(file, scene, 20.0)
    if negative is not None:
        cameras["negative"] = Camera(negative)
    return bench.plan(cameras, SCENES_LAP_S + 2.0)


async def busy_plan(bench: Bench, clip: Path | None) -> Plan:
    """Eight cameras that always have somebody to look at."""
    if clip is None:
        clip = (await bench.encoded("crowd", crowd(bench.people), {"vbr": Encoding()}))["vbr"]
    cameras = {}
    for number in range(BUSY):
        out = bench.work / f"busy{number}.mp4"
        await asyncio.to_thread(with_gap, clip, out, start=number / BUSY)
        cameras[f"cam{number}"] = Camera(out, as_file=True)
    return replace(bench.plan(cameras, 30.0, events={"gone_after_s": GONE_AFTER_S}), fps=BUSY_FPS, settles_s=4.0)


async def memory_plan(bench: Bench) -> Plan:
    """Four of the quiet cameras, one of which is visited."""
    plan = await streams_plan(bench, "vbr")
    cameras = dict(list(plan.cameras.items())[:FEW])
    return replace(plan, cameras=cameras, seconds=bench.seconds(15.0))


async def bare_imports_mib(bench: Bench, build: str) -> float:
    """What a process of this build holds that has imported the service and nothing else."""
    folder = fresh_folder(bench.work / "bare", None)
    pages, size = (await bench.builds[build].command("-c", BARE_IMPORTS, folder=folder)).split()
    return int(pages) * int(size) / 2**20


def latencies_ms(run: Run, since_at: float = 0.0) -> list[float]:
    """From capture to the subscriber of each `new` and `update`; visits too short to be told in time are left out."""
    found = []
    for visit in run.heard.visits.values():
        told = [(heard_at, one) for heard_at, one in visit.messages if one["type"] != "end"]
        ends = [one for _, one in visit.messages if one["type"] == "end"]
        if told and ends and _published_at(ends[0]) - _published_at(told[0][1]) < GONE_AFTER_S / 2:
            told = told[1:]
        found += [1000.0 * (heard_at - one["captured_at"]) for heard_at, one in told if visit.from_at >= since_at]
    return found


def _published_at(document: Mapping[str, Any]) -> float:
    return float(document.get("published_at") or 0.0)


def percentile(values: list[float], percent: float) -> float | None:
    """None where there is nothing."""
    return float(np.percentile(values, percent)) if values else None


def shares(run: Run) -> dict[str, float]:
    """How many frames were looked at on each camera, beside the mean of all; 0.0 where all it had were left out."""
    names = sorted({camera for cameras in run.frames.values() for camera in cameras})
    processed = {camera: run.frames.get("processed", {}).get(camera, 0.0) for camera in names}
    mean = sum(processed.values()) / len(processed) if processed else 0.0
    return {camera: count / mean for camera, count in processed.items()} if mean else {}
