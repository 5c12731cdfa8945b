"""The benchmark as a whole: ours, the peer, the limit and the real-time runs, in one go on the same clip.

Settings and a clip go in, one document in the keys of the machine-readable output comes out.
"""

import asyncio
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from recognition import detect
from recognition.arrays import F32
from recognition.checks.self_test import probe_tensors
from recognition.image import ArrayImage
from recognition.recogniser import Recogniser, open_recogniser
from recognition.runtimes.processor import this_processor
from recognition.specs.devices import usable_cores
from recognition.specs.weights import find_weights
from streamer.bench.agreement import SeenFace, agreement, nearest, people_of
from streamer.bench.clips import repeated, with_gap
from streamer.bench.limit import replay
from streamer.bench.model_layer import ModelBenchOptions, run_model_layer
from streamer.bench.parts import Parts
from streamer.bench.peer.peer import PeerRun, run_peer
from streamer.bench.realtime import NO_EVENT, run_realtime
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


async def run_bench(settings: Settings, options: BenchOptions, parts: Parts) -> dict[str, Any]:
    """Measure everything; what a part that failed should have given is None. Raises BenchFailed without a clip."""
    if not options.clip.is_file():
        raise BenchFailed(f"clip {options.clip} is not there; give one with --clip FILE")
    models = settings.recognition.model_copy(update={"detector": DETECTOR, "embedder": EMBEDDER})
    settings = settings.model_copy(update={"recognition": models})
    document: dict[str, Any] = {"machine": machine(), "clip": options.clip.name}
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        work = Path(scratch)
        runs = _Runs()
        await parts.run("frames a second", _throughput(settings, options, work, runs, parts))
        document |= _document(options, runs)
        parts.say(", ".join(f"{key} {document[key]}" for key in ("ours_fps", "peer_fps", "limit_fps", "shipped_fps")))
        document |= await _latencies(settings, options, work, parts)
        if options.models is not None:
            document |= await run_model_layer(settings, options.models, parts)
        return document


async def run_models(settings: Settings, options: ModelBenchOptions, parts: Parts) -> dict[str, Any]:
    """The model layer alone."""
    return {"machine": machine(), **await run_model_layer(settings, options, parts)}


async def _latencies(settings: Settings, options: BenchOptions, work: Path, parts: Parts) -> dict[str, Any]:
    """Each count of cameras is a part of its own."""
    latencies: dict[str, dict[str, Any] | None] = dict.fromkeys(map(str, CAMERAS))
    parts.say("rendering the cameras' clips")
    clips = await parts.run("the cameras' clips", asyncio.to_thread(_clips, options.clip, work))
    for cameras in CAMERAS if clips is not None else ():
        parts.say(f"real time: {cameras} cameras at 10 fps for {options.realtime_s:.0f} s")
        assert clips is not None
        spread = clips[:: len(clips) // cameras]
        run = await parts.run(
            f"{cameras} cameras", run_realtime(settings, spread, options.realtime_s, work / f"cameras{cameras}")
        )
        if run is None:
            continue
        row = {key: value if value is None else round(value, 4) for key, value in asdict(run).items()}
        del row["cameras"]
        latencies[str(cameras)] = row
        parts.say(f"  {', '.join(f'{key} {value}' for key, value in row.items())}")
        if not run.events:
            parts.fail(f"{cameras} cameras", NO_EVENT)
    lag = latencies[LAG_AT]
    return {"latency_ms": latencies, "loop_lag_p99_ms": None if lag is None else round(lag["loop_lag_p99_ms"], 2)}


def _clips(clip: Path, work: Path) -> list[Path]:
    starts = [number / max(CAMERAS) for number in range(max(CAMERAS))]
    return [with_gap(clip, work / f"camera{start}.mp4", start=start) for start in starts]


@dataclass(slots=True, eq=False)
class _Runs:
    """What rounds gave so far; a list is empty where none of its kind succeeded."""

    peer: list[PeerRun] = field(default_factory=list)
    ours: list[OurRun] = field(default_factory=list)
    limit_s: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)
    shipped: list[OurRun] = field(default_factory=list)
    people: int | None = None


async def _throughput(settings: Settings, options: BenchOptions, work: Path, runs: _Runs, parts: Parts) -> None:
    """The peer, ours and the limit in turn, `rounds` times; each one's best round counts.

    All three with the detector's whole square input, as the peer has it; then ours once more as it is shipped. Without
    the peer, whose faces people are made of, nobody is enrolled, and there is nothing to agree on.
    """
    clip = await asyncio.to_thread(repeated, options.clip, work / "laps.mp4", LAPS)
    config = recogniser_config(settings)
    templates: list[F32] = []
    async with open_recogniser(replace(config, trim_padding=False)) as recogniser:
        weights = [find_weights(m.spec, settings.paths.models) for m in (recogniser.detector, recogniser.embedder)]
        threshold = naming_threshold(settings, recogniser.embedder.spec)
        for number in range(options.rounds):
            parts.say(f"round {number + 1} of {options.rounds}: the peer, ours, the limit")
            peer = None
            if len(runs.peer) == number:  # one that failed is not tried again
                peer = await parts.run(
                    "the peer", asyncio.to_thread(run_peer, options.folder, clip, weights, parts.say)
                )
            if peer is not None:
                runs.peer.append(peer)
                templates = people_of(peer.embedding, peer.frame)
                runs.people = runs.people or len(templates)
            ran = await parts.run("ours", run_ours(settings, recogniser, clip, templates, work / f"ours{number}"))
            if ran is None:
                continue
            our, seen = ran
            runs.ours.append(our)
            limit_s = await parts.run("the limit", asyncio.to_thread(_limit, recogniser, clip, our))
            runs.limit_s += [] if limit_s is None else [limit_s]
            if peer is not None:
                agreed = parts.call("agreement", partial(_agreed, peer, templates, threshold, seen))
                runs.agreed += [] if agreed is None else [agreed]
    async with open_recogniser(config) as recogniser:
        for number in range(options.rounds):
            parts.say(f"round {number + 1} of {options.rounds}: ours as shipped")
            folder = work / f"shipped{number}"
            ran = await parts.run("ours as shipped", run_ours(settings, recogniser, clip, templates, folder))
            runs.shipped += [] if ran is None else [ran[0]]


def _agreed(peer: PeerRun, templates: list[F32], threshold: float, seen: list[SeenFace]) -> float:
    if not templates:
        raise BenchFailed("the peer finds nobody in the clip; choose a clip with faces")
    return agreement(peer.frame, peer.box, *nearest(peer.embedding, templates), threshold, seen)


def _document(options: BenchOptions, runs: _Runs) -> dict[str, Any]:
    """The best round of each; None where none of it succeeded."""
    peer = min(runs.peer, key=lambda run: run.seconds, default=None)
    our = min(runs.ours, key=lambda run: run.seconds, default=None)
    as_shipped = min(runs.shipped, key=lambda run: run.seconds, default=None)
    limit_s = min(runs.limit_s, default=None)
    ours_fps, peer_fps = _fps(our), _fps(peer)
    limit_fps = our.frames / limit_s if our and limit_s else None
    return {
        "laps": LAPS,
        "frames": our and our.frames,
        "rounds": options.rounds,
        "detector": DETECTOR,
        "embedder": EMBEDDER,
        "ours_fps": _rounded(ours_fps, 2),
        "peer_fps": _rounded(peer_fps, 2),
        "limit_fps": _rounded(limit_fps, 2),
        "ratio_to_peer": _rounded(ours_fps and peer_fps and ours_fps / peer_fps, 2),
        "share_of_limit": _rounded(ours_fps and limit_fps and ours_fps / limit_fps, 3),
        "track_agreement": _rounded(min(runs.agreed, default=None), 4),
        "faces_per_s": _rounded(our.faces / our.seconds if our else None, 1),
        "peer_faces_per_s": _rounded(len(peer.frame) / peer.seconds if peer else None, 1),
        "cpu_s_per_frame": _rounded(our.cpu_seconds / our.frames if our else None, 4),
        "peer_cpu_s_per_frame": _rounded(peer.cpu_seconds / peer.frames if peer else None, 4),
        "shipped_fps": _rounded(_fps(as_shipped), 2),
        "shipped_cpu_s_per_frame": _rounded(as_shipped.cpu_seconds / as_shipped.frames if as_shipped else None, 4),
        "embedded_faces": our and sum(our.embedded),
        "people": runs.people,
    }


def _fps(run: OurRun | PeerRun | None) -> float | None:
    return run.frames / run.seconds if run else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


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
