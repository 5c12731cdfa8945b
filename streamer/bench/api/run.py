"""The part `http` of the benchmark, in one go: /embeddings, camera events beside it, /rerank, viewers of events.

Settings and a clip go in, one document comes out. On the benchmark's loop, which is that of the services it runs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recognition.specs.weights import find_weights
from streamer.app import Service, running_service
from streamer.bench.api import embeddings, rerank, viewers
from streamer.bench.api.cameras import run_cameras
from streamer.bench.api.embeddings import Pictures, compared
from streamer.bench.api.load import CLIENTS, Place
from streamer.bench.api.operator_token import token_of
from streamer.bench.api.peer_server import peer_server
from streamer.bench.api.pictures import A_REQUEST, frames_of, photos_of, uploads
from streamer.bench.clips import with_gap
from streamer.bench.processes import broker_process
from streamer.bench.publishers import failing_plainly
from streamer.bench.run import DETECTOR, EMBEDDER, machine
from streamer.errors import BenchFailed
from streamer.settings import HttpSettings, Settings

CAMERAS = (1, 4)


@dataclass(frozen=True, slots=True)
class HttpBenchOptions:
    """clip: whose frames are sent, and which cameras play. faces: real photos, sent too, out of a ZIP with a folder a
    person (None: no such row). folder: of the peer's environment. rounds: the best one counts."""

    clip: Path
    folder: Path
    faces: Path | None = None
    rounds: int = 3
    slice_s: float = 10.0
    realtime_s: float = 40.0
    viewers_s: float = 20.0


async def run_http(
    settings: Settings, options: HttpBenchOptions, scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure everything. Raises BenchFailed and what opening models raises."""
    if not options.clip.is_file():
        raise BenchFailed(f"clip {options.clip} is not there; give one with --clip FILE")
    models = settings.recognition.model_copy(update={"detector": DETECTOR, "embedder": EMBEDDER})
    settings = settings.model_copy(update={"recognition": models})
    kinds = await asyncio.to_thread(_pictures, options, scratch)
    with failing_plainly():
        return {
            "machine": machine(),
            "clip": options.clip.name,
            "http": await _measured(settings, options, kinds, scratch, say),
        }


async def _measured(
    settings: Settings, options: HttpBenchOptions, kinds: dict[str, Pictures], scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    async with quiet_service(settings, scratch / "quiet") as (service, token):
        document = {
            "detector": DETECTOR,
            "embedder": EMBEDDER,
            "clients": CLIENTS,
            "images_a_request": A_REQUEST,
            "embeddings": await _embeddings(service, token, kinds, options, say),
        }
        say("re-ranking of 200 candidates")
        document["rerank200"] = await rerank.run_rerank(
            Place(service.http_port, rerank.PATH, token), scratch / "candidates"
        )
        say(f"{viewers.VIEWERS} viewers of events, for {options.viewers_s:.0f} s")
        live = Place(service.http_port, viewers.PATH, token)
        document["viewers"] = await viewers.run_viewers(service.outbox, live, options.viewers_s)
    document["camera_events"] = await _camera_events(settings, kinds["frames"], options, scratch, say)
    return document


def _pictures(options: HttpBenchOptions, scratch: Path) -> dict[str, Pictures]:
    files = {"frames": frames_of(options.clip, scratch / "frames")}
    if options.faces is not None:
        files["photos"] = photos_of(options.faces, scratch / "photos")
    return {kind: Pictures(found, uploads(found, scratch / f"{kind}-sent")) for kind, found in files.items()}


@asynccontextmanager
async def quiet_service(settings: Settings, folder: Path) -> AsyncIterator[tuple[Service, str]]:
    """A service without cameras in a data folder of its own, and an operator's token for it."""
    async with broker_process() as port:
        settings = settings.apart_in(
            folder,
            cameras={},
            mqtt=settings.mqtt.model_copy(update={"host": "127.0.0.1", "port": port, "version": "3.1.1"}),
            http=HttpSettings(port=0),
        )
        async with running_service(settings) as service:
            yield service, await token_of(service)


async def _embeddings(
    service: Service, token: str, kinds: dict[str, Pictures], options: HttpBenchOptions, say: Callable[[str], None]
) -> dict[str, Any]:
    recogniser = service.recogniser
    weights = [
        find_weights(one.spec, service.settings.paths.models) for one in (recogniser.detector, recogniser.embedder)
    ]
    ours = Place(service.http_port, embeddings.PATH, token)
    rows = {}
    async with peer_server(options.folder, weights, say) as peer:
        for kind, pictures in kinds.items():
            say(f"{len(pictures.files)} {kind}, {A_REQUEST} a request from {CLIENTS} clients")
            rows[kind] = await compared(recogniser, ours, peer, pictures, options.rounds, options.slice_s, say)
    return rows


async def _camera_events(
    settings: Settings, frames: Pictures, options: HttpBenchOptions, scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    parts = [number / max(CAMERAS) for number in range(max(CAMERAS))]
    clips = [
        await asyncio.to_thread(with_gap, options.clip, scratch / f"camera{part}.mp4", start=part) for part in parts
    ]
    rows = {}
    for cameras in CAMERAS:
        say(f"{cameras} cameras at 10 fps for {options.realtime_s:.0f} s, then again with the API at full load")
        spread = clips[:: len(clips) // cameras]
        rows[str(cameras)] = await run_cameras(
            settings, spread, frames.bodies, options.realtime_s, scratch / f"cameras{cameras}"
        )
    return rows
