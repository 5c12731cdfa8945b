"""The benchmark as a whole: ours, the peer, the limit and the real-time runs, in one go on the same clip.

Settings and a clip go in, one document in the keys of the machine-readable output comes out.
"""

import asyncio
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recognition import detect
from recognition.image import ArrayImage
from recognition.models.runner import usable_cores
from recognition.models.weights import find_weights
from recognition.recogniser import Recogniser, open_recogniser
from streamer.app import recogniser_config
from streamer.bench.agreement import SeenFace, agreement, nearest, people_of
from streamer.bench.limit import replay
from streamer.bench.peer import PeerRun, run_peer
from streamer.bench.realtime import run_realtime, with_gap
from streamer.bench.throughput import OurRun, run_ours
from streamer.errors import BenchFailed
from streamer.roster import naming_threshold
from streamer.settings import Settings

CAMERAS = (1, 4, 8)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """clip to measure on; folder for the peer's environment; how often each is run (the fastest run counts)."""

    clip: Path
    folder: Path
    rounds: int = 3
    realtime_s: float = 40.0


async def run_bench(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything. Raises BenchFailed and what opening models raises."""
    if not options.clip.is_file():
        raise BenchFailed(f"clip {options.clip} is not there; give one with --clip FILE")
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        work = Path(scratch)
        document = await _throughput(settings, options, work, say)
        clip = await asyncio.to_thread(with_gap, options.clip, work / "gap.mp4")
        document["latency_ms"], lags_ms = {}, []
        for cameras in CAMERAS:
            say(f"real time: {cameras} cameras at 10 fps for {options.realtime_s:.0f} s")
            run = await run_realtime(settings, clip, cameras, options.realtime_s, work / f"cameras{cameras}")
            row = asdict(run)
            lags_ms.append(row["loop_lag_p99_ms"])
            document["latency_ms"][str(cameras)] = {
                key: round(value, 4) for key, value in row.items() if key != "cameras"
            }
        document["loop_lag_p99_ms"] = round(max(lags_ms), 2)
        return document


async def _throughput(
    settings: Settings, options: BenchOptions, work: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Ours, the peer and the limit in turn, `rounds` times; each one's best round counts."""
    async with open_recogniser(recogniser_config(settings)) as recogniser:
        weights = [find_weights(m.spec, settings.paths.models) for m in (recogniser.detector, recogniser.embedder)]
        peers: list[PeerRun] = []
        ours: list[OurRun] = []
        limits_s: list[float] = []
        seen: list[SeenFace] = []
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}: the peer, ours, the limit")
            peers.append(await asyncio.to_thread(run_peer, options.folder, options.clip, weights, say))
            templates = people_of(peers[0].embedding, peers[0].frame)
            if not templates:
                raise BenchFailed(f"the peer finds nobody in {options.clip}; choose a clip with faces")
            folder = work / f"round{number}"
            folder.mkdir()
            run, seen = await run_ours(settings, recogniser, options.clip, templates, folder)
            ours.append(run)
            limits_s.append(await asyncio.to_thread(_limit, recogniser, options.clip, run))
    peer, our = min(peers, key=lambda r: r.seconds), min(ours, key=lambda r: r.seconds)
    people, similarity = nearest(peers[0].embedding, templates)
    threshold = naming_threshold(settings, recogniser)
    agreed = agreement(peers[0].frame, peers[0].box, people, similarity, threshold, seen)
    ours_fps, peer_fps = our.frames / our.seconds, peer.frames / peer.seconds
    limit_fps = our.frames / min(limits_s)
    return {
        "machine": machine(),
        "clip": options.clip.name,
        "detector": recogniser.detector.name,
        "embedder": recogniser.embedder.name,
        "frames": our.frames,
        "rounds": options.rounds,
        "ours_fps": round(ours_fps, 2),
        "peer_fps": round(peer_fps, 2),
        "limit_fps": round(limit_fps, 2),
        "ratio_to_peer": round(ours_fps / peer_fps, 2),
        "share_of_limit": round(ours_fps / limit_fps, 3),
        "track_agreement": round(agreed, 4),
        "faces_per_s": round(our.faces / our.seconds, 1),
        "peer_faces_per_s": round(len(peer.frame) / peer.seconds, 1),
        "cpu_s_per_frame": round(our.cpu_seconds / our.frames, 4),
        "peer_cpu_s_per_frame": round(peer.cpu_seconds / peer.frames, 4),
        "embedded_faces": sum(our.embedded),
        "people": len(templates),
    }


def _limit(recogniser: Recogniser, clip: Path, run: OurRun) -> float:
    """Seconds that the same calls take bare. The scene has the shape that our own detections had."""
    import av

    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        blank = ArrayImage(np.zeros((video.height, video.width, 3), np.uint8))
    prepared = detect.prepare(recogniser.detector.spec, blank, trim=recogniser.detector.max_batch == 1)
    rng = np.random.default_rng(0)
    scene = rng.standard_normal((1, *prepared.tensor.shape), dtype=np.float32)
    crops = _cut(run.embedded, recogniser.embedder.max_batch)
    return replay(
        clip,
        recogniser.detector.runner,
        scene,
        recogniser.embedder.runner,
        crops,
        run.frames,
        usable_cores(),
    )


def _cut(sizes: list[int], most: int) -> list[int]:
    return [min(most, size - start) for size in sizes for start in range(0, size, most)]


def machine() -> str:
    """The machine in words: processor, cores, system."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            name = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}"
