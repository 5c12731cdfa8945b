"""The benchmark as a whole: ours, the peer, the limit and the real-time runs, in one go on the same clip.

Settings and a clip go in, one document in the keys of the machine-readable output comes out.
"""

import asyncio
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from recognition import detect
from recognition.checks.self_test import probe_tensors
from recognition.image import ArrayImage
from recognition.recogniser import Recogniser, open_recogniser
from recognition.runtimes.processor import this_processor
from recognition.specs.devices import usable_cores
from recognition.specs.weights import find_weights
from streamer.bench.agreement import agreement, nearest, people_of
from streamer.bench.clips import repeated, with_gap
from streamer.bench.limit import replay
from streamer.bench.model_layer import ModelBenchOptions, run_model_layer
from streamer.bench.peer.peer import PeerRun, run_peer
from streamer.bench.realtime import run_realtime
from streamer.bench.throughput import OurRun, run_ours
from streamer.errors import BenchFailed
from streamer.model_layer.setup import recogniser_config
from streamer.pipeline.match_policy import naming_threshold
from streamer.settings import Settings

# What the peer can run too, whatever is configured.
DETECTOR, EMBEDDER = "scrfd_500m", "arcface_w600k_mbf"
CAMERAS = (1, 4, 8)
LAG_AT = "4"  # the load for which the loop's lag is quoted; each row has its own
LAPS = 3  # the clip is played so often over, so that opening it and the last frames do not weigh


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """clip to measure on; folder for the peer's environment; how often each is run (the fastest run counts).

    models: of the model layer, which comes last; None: without it.
    """

    clip: Path
    folder: Path
    rounds: int = 3
    realtime_s: float = 40.0
    models: ModelBenchOptions | None = None


async def run_bench(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything. Raises BenchFailed and what opening models raises."""
    if not options.clip.is_file():
        raise BenchFailed(f"clip {options.clip} is not there; give one with --clip FILE")
    models = settings.recognition.model_copy(update={"detector": DETECTOR, "embedder": EMBEDDER})
    settings = settings.model_copy(update={"recognition": models})
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        work = Path(scratch)
        document = await _throughput(settings, options, work, say)
        say("rendering the cameras' clips")
        parts = [number / max(CAMERAS) for number in range(max(CAMERAS))]
        clips = [
            await asyncio.to_thread(with_gap, options.clip, work / f"camera{part}.mp4", start=part) for part in parts
        ]
        latencies = document["latency_ms"] = {}
        for cameras in CAMERAS:
            say(f"real time: {cameras} cameras at 10 fps for {options.realtime_s:.0f} s")
            spread = clips[:: len(clips) // cameras]
            row = asdict(await run_realtime(settings, spread, options.realtime_s, work / f"cameras{cameras}"))
            latencies[str(cameras)] = {key: round(value, 4) for key, value in row.items() if key != "cameras"}
        document["loop_lag_p99_ms"] = round(latencies[LAG_AT]["loop_lag_p99_ms"], 2)
        if options.models is not None:
            document |= await run_model_layer(settings, options.models, say)
        return document


async def run_models(settings: Settings, options: ModelBenchOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """The model layer alone. Raises what opening our own models raises."""
    return {"machine": machine(), **await run_model_layer(settings, options, say)}


async def _throughput(
    settings: Settings, options: BenchOptions, work: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """The peer, ours and the limit in turn, `rounds` times; each one's best round counts.

    All three with the detector's whole square input, as the peer has it; then ours once more as it is shipped.
    """
    clip = await asyncio.to_thread(repeated, options.clip, work / "laps.mp4", LAPS)
    config = recogniser_config(settings)
    rounds: list[_Round] = []
    async with open_recogniser(replace(config, trim_padding=False)) as recogniser:
        weights = [find_weights(m.spec, settings.paths.models) for m in (recogniser.detector, recogniser.embedder)]
        threshold = naming_threshold(settings, recogniser.embedder.spec)
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}: the peer, ours, the limit")
            peer = await asyncio.to_thread(run_peer, options.folder, clip, weights, say)
            templates = people_of(peer.embedding, peer.frame)
            if not templates:
                raise BenchFailed(f"the peer finds nobody in {options.clip}; choose a clip with faces")
            our, seen = await run_ours(settings, recogniser, clip, templates, work / f"ours{number}")
            limit_s = await asyncio.to_thread(_limit, recogniser, clip, our)
            agreed = agreement(peer.frame, peer.box, *nearest(peer.embedding, templates), threshold, seen)
            rounds.append(_Round(peer, our, limit_s, agreed, len(templates)))
    shipped = []
    async with open_recogniser(config) as recogniser:
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}: ours as shipped")
            folder = work / f"shipped{number}"
            shipped.append((await run_ours(settings, recogniser, clip, templates, folder))[0])
    return _document(options, recogniser, rounds, shipped)


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    peer: PeerRun
    our: OurRun
    limit_s: float
    agreement: float
    people: int


def _document(
    options: BenchOptions, recogniser: Recogniser, rounds: list[_Round], shipped: list[OurRun]
) -> dict[str, Any]:
    peer = min((r.peer for r in rounds), key=lambda run: run.seconds)
    our = min((r.our for r in rounds), key=lambda run: run.seconds)
    as_shipped = min(shipped, key=lambda run: run.seconds)
    ours_fps, peer_fps = our.frames / our.seconds, peer.frames / peer.seconds
    limit_fps = our.frames / min(r.limit_s for r in rounds)
    return {
        "machine": machine(),
        "clip": options.clip.name,
        "laps": LAPS,
        "frames": our.frames,
        "rounds": options.rounds,
        "detector": recogniser.detector.name,
        "embedder": recogniser.embedder.name,
        "ours_fps": round(ours_fps, 2),
        "peer_fps": round(peer_fps, 2),
        "limit_fps": round(limit_fps, 2),
        "ratio_to_peer": round(ours_fps / peer_fps, 2),
        "share_of_limit": round(ours_fps / limit_fps, 3),
        "track_agreement": round(min(r.agreement for r in rounds), 4),
        "faces_per_s": round(our.faces / our.seconds, 1),
        "peer_faces_per_s": round(len(peer.frame) / peer.seconds, 1),
        "cpu_s_per_frame": round(our.cpu_seconds / our.frames, 4),
        "peer_cpu_s_per_frame": round(peer.cpu_seconds / peer.frames, 4),
        "shipped_fps": round(as_shipped.frames / as_shipped.seconds, 2),
        "shipped_cpu_s_per_frame": round(as_shipped.cpu_seconds / as_shipped.frames, 4),
        "embedded_faces": sum(our.embedded),
        "people": rounds[0].people,
    }


def _limit(recogniser: Recogniser, clip: Path, run: OurRun) -> float:
    """Seconds that the same calls take bare. The scene has the shape that our own detections had."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        blank = ArrayImage(np.zeros((video.height, video.width, 3), np.uint8))
    prepared = detect.prepare(recogniser.detector.spec, blank, trim=recogniser.trims)
    rng = np.random.default_rng(0)
    scene = rng.standard_normal((1, *prepared.tensor.shape), dtype=np.float32)
    crops = _cut(run.embedded, recogniser.embedder.max_batch)
    embedder = recogniser.embedder
    faces = probe_tensors(embedder.spec)
    return replay(clip, recogniser.detector.runner, scene, embedder.runner, faces, crops, run.frames, usable_cores())


def _cut(sizes: list[int], most: int) -> list[int]:
    return [min(most, size - start) for size in sizes for start in range(0, size, most)]


def machine() -> str:
    """The machine in words: processor with what it has for int8, cores, system."""
    cores = len(os.sched_getaffinity(0))
    return f"{this_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"
