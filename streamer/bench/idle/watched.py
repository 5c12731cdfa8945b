"""Some cameras, watched by one build for a while: what that cost, what was told, how long each gate was open.

Cameras with their scenes go in, one Run comes out. On the benchmark's loop; broker, sender and service are processes
of their own, and the service's is the one that is measured.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil

from streamer.bench.calm import others_share
from streamer.bench.idle.heard import Heard, hearing
from streamer.bench.idle.scene import Scene
from streamer.bench.idle.sender import Sender, SentCamera, sending
from streamer.bench.idle.serving import Build, Scrape, Serving, fresh_folder, serving
from streamer.bench.idle.truth import Clock, Expected, Matched, expected, matched
from streamer.bench.processes import broker_process
from streamer.errors import BenchFailed

SETTLES_S = 30.0  # cameras open all at once, and have to learn what is usual
HEARD_OUT_S = 4.0  # after the last second that counts
PARTLY_S = 120.0  # those cut off by the beginning or the end are looked for so far around


@dataclass(frozen=True, slots=True)
class Camera:
    """A clip on its way: by RTSP, or as a file in real time; and what is to be seen in it (None: nobody)."""

    clip: Path
    scene: Scene | None = None
    from_s: float = 0.0
    as_file: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is watched by each build. config: sections of the configuration, without cameras, broker and HTTP."""

    cameras: Mapping[str, Camera]
    seconds: float
    config: Mapping[str, Any]
    fps: float = 10.0
    settles_s: float = SETTLES_S


@dataclass(slots=True)
class Run:
    """cpu_share: CPU seconds of the service a second. rss_mib: the most of what was seen. reopened: cameras that were
    opened again. gates: of the time that was measured, in which share each gate was open, by camera. others_share: of
    the machine's CPU time, what other programs took meanwhile."""

    seconds: float
    cpu_share: float
    rss_mib: float
    reopened: int
    matched: Matched
    heard: Heard
    gates: dict[str, dict[str, float]]
    others_share: float
    frames: dict[str, dict[str, float]] = field(default_factory=dict)


async def watched(build: Build, plan: Plan, gallery: Path | None, folder: Path) -> Run:
    """Watch the plan's cameras in `folder`, which is emptied. Raises BenchFailed."""
    fresh_folder(folder, gallery)
    sent = {name: SentCamera(one.clip, one.from_s) for name, one in plan.cameras.items() if not one.as_file}
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(broker_process())
        heard = await stack.enter_async_context(hearing(port))
        sender = await stack.enter_async_context(sending(sent, folder)) if sent else None
        service = await stack.enter_async_context(serving(build, _config(plan, port, sender), folder))
        await service.until_up(len(plan.cameras))
        await _until_told(heard, [name for name, one in plan.cameras.items() if one.as_file])
        await asyncio.sleep(plan.settles_s)
        spent = await _spent(service, plan.seconds)
        await asyncio.sleep(HEARD_OUT_S)
        return _run(plan, spent, heard, sender)


async def _until_told(heard: Heard, names: list[str], within_s: float = 60.0) -> None:
    """Until it was heard since when they are online: by that one knows when a file shows what. Raises BenchFailed."""
    for _ in range(round(within_s / 0.25)):
        missing = set(names) - heard.online_since.keys()
        if not missing:
            return
        await asyncio.sleep(0.25)
    raise BenchFailed(f"within {within_s:g} s it was not heard since when {', '.join(sorted(missing))} are online")


def _config(plan: Plan, port: int, sender: Sender | None) -> dict[str, Any]:
    cameras = {}
    for name, one in plan.cameras.items():
        where = {"url": str(one.clip), "loop": True} if one.as_file or sender is None else {"url": sender.url(name)}
        cameras[name] = {"fps": plan.fps, **where}
    paths = {**plan.config.get("paths", {}), "data": "data", "keys": "keys"}
    mqtt = {"host": "127.0.0.1", "port": port, "version": "3.1.1"}
    return {**plan.config, "paths": paths, "mqtt": mqtt, "http": {"port": 0}, "cameras": cameras}


@dataclass(frozen=True, slots=True)
class _Spent:
    from_at: float
    until_at: float
    cpu_s: float
    rss_mib: float
    others_share: float
    before: Scrape
    after: Scrape


async def _spent(service: Serving, seconds: float) -> _Spent:
    before, from_at, began = await service.metrics(), time.time(), _machine_s()
    began_s, cpu_s, rss_mib = time.monotonic(), service.cpu_s(), 0.0
    while (left_s := seconds - (time.monotonic() - began_s)) > 0:
        rss_mib = max(rss_mib, service.rss_mib())
        await asyncio.sleep(min(0.5, left_s))
    cpu_s, until_at = service.cpu_s() - cpu_s, time.time()
    share = others_share(began, _machine_s())
    return _Spent(from_at, until_at, cpu_s, rss_mib, share, before, await service.metrics())


def _machine_s() -> tuple[float, float, float]:
    """(all, idle, own) CPU seconds of the machine; own: of the benchmark with the processes that it started."""
    times, own, this = psutil.cpu_times(), 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            used = process.cpu_times()
            own += used.user + used.system
    return sum(times), times.idle + getattr(times, "iowait", 0.0), own


def _run(plan: Plan, spent: _Spent, heard: Heard, sender: Sender | None) -> Run:
    walks: list[Expected] = []
    everybody: list[Expected] = []
    reopened = 0
    for name, camera in plan.cameras.items():
        clocks = _clocks(name, camera, heard, sender)
        reopened += max(0, len(clocks) - 1)
        if camera.scene is None:
            continue
        if camera.scene.walks and not clocks:
            raise BenchFailed(
                f"when camera {name} showed what is not known, so nobody can be missed: it never came online"
            )
        for clock, next_one in zip_longest(clocks, clocks[1:]):
            from_at = max(spent.from_at, clock.began_at)
            until_at = spent.until_at if next_one is None else next_one.began_at
            walks += expected(name, camera.scene, clock, from_at, min(until_at, spent.until_at))
            everybody += expected(name, camera.scene, clock, 0.0, spent.until_at + PARTLY_S)
    seconds = spent.until_at - spent.from_at
    frames = {
        outcome: _grown(spent, "camera", "whosthere_frames_total", outcome=outcome)
        for outcome in spent.after.by("outcome", "whosthere_frames_total")
    }
    return Run(
        seconds=seconds,
        cpu_share=spent.cpu_s / seconds,
        rss_mib=spent.rss_mib,
        reopened=reopened,
        matched=matched(walks, heard.visits.values(), everybody),
        heard=heard,
        gates=_gates(spent),
        others_share=spent.others_share,
        frames=frames,
    )


def _clocks(name: str, camera: Camera, heard: Heard, sender: Sender | None) -> list[Clock]:
    if sender is not None and not camera.as_file:
        return [Clock(one.began_at, one.from_s, one.lap_s) for one in sender.played.get(name, [])]
    if camera.scene is None or name not in heard.online_since:
        return []
    return [Clock(heard.online_since[name], camera.from_s, camera.scene.seconds)]


def _grown(spent: _Spent, by: str, name: str, **labels: str) -> dict[str, float]:
    before = spent.before.by(by, name, **labels)
    return {key: value - before.get(key, 0.0) for key, value in spent.after.by(by, name, **labels).items()}


def _gates(spent: _Spent) -> dict[str, dict[str, float]]:
    """By gate and camera; empty where the build has no gates."""
    shares: dict[str, dict[str, float]] = {}
    for gate in spent.after.by("gate", "whosthere_gate_seconds_total"):
        opened = _grown(spent, "camera", "whosthere_gate_seconds_total", gate=gate, state="open")
        everything = _grown(spent, "camera", "whosthere_gate_seconds_total", gate=gate)
        shares[gate] = {camera: opened.get(camera, 0.0) / total for camera, total in everything.items() if total > 0}
    return shares
