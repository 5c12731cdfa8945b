"""The part `http` of the benchmark, in one go: /embeddings, camera events beside it, /rerank, viewers of events.

Settings and a clip go in, one document comes out. On the benchmark's loop, which is that of the services it runs.
"""

import asyncio
from collections.abc import AsyncIterator
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
from streamer.bench.parts import Parts
from streamer.bench.processes import broker_process
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


async def run_http(settings: Settings, options: HttpBenchOptions, scratch: Path, parts: Parts) -> dict[str, Any]:
    """Measure everything; a part that fails is None. Raises BenchFailed without a clip, or pictures to send."""
    if not options.clip.is_file():
        raise BenchFailed(f"clip {options.clip} is not there; give one with --clip FILE")
    models = settings.recognition.model_copy(update={"detector": DETECTOR, "embedder": EMBEDDER})
    settings = settings.model_copy(update={"recognition": models})
    kinds = await asyncio.to_thread(_pictures, options, scratch)
    http: dict[str, Any] = {
        "detector": DETECTOR,
        "embedder": EMBEDDER,
        "clients": CLIENTS,
        "images_a_request": A_REQUEST,
    }
    http |= {"embeddings": dict.fromkeys(kinds), "rerank200": None, "viewers": None}
    await parts.run("the API alone", _alone(settings, options, kinds, scratch, parts, http))
    http["camera_events"] = await _camera_events(settings, kinds["frames"], options, scratch, parts)
    return {"machine": machine(), "clip": options.clip.name, "http": http}


async def _alone(
    settings: Settings,
    options: HttpBenchOptions,
    kinds: dict[str, Pictures],
    scratch: Path,
    parts: Parts,
    http: dict[str, Any],
) -> None:
    """What a service without cameras answers, into `http`."""
    async with quiet_service(settings, scratch / "quiet") as (service, token):
        await parts.run("embeddings", _embeddings(service, token, kinds, options, parts, http["embeddings"]))
        parts.say("re-ranking of 200 candidates")
        place = Place(service.http_port, rerank.PATH, token)
        http["rerank200"] = await parts.run("re-ranking", rerank.run_rerank(place, scratch / "candidates"))
        parts.say(f"{viewers.VIEWERS} viewers of events, for {options.viewers_s:.0f} s")
        live = Place(service.http_port, viewers.PATH, token)
        http["viewers"] = await parts.run("viewers", viewers.run_viewers(service.outbox, live, options.viewers_s))


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
    service: Service,
    token: str,
    kinds: dict[str, Pictures],
    options: HttpBenchOptions,
    parts: Parts,
    rows: dict[str, Any],
) -> None:
    recogniser = service.recogniser
    weights = [
        find_weights(one.spec, service.settings.paths.models) for one in (recogniser.detector, recogniser.embedder)
    ]
    ours = Place(service.http_port, embeddings.PATH, token)
    async with peer_server(options.folder, weights, parts.say) as peer:
        for kind, pictures in kinds.items():
            parts.say(f"{len(pictures.files)} {kind}, {A_REQUEST} a request from {CLIENTS} clients")
            rows[kind] = await parts.run(
                f"embeddings of {kind}",
                compared(recogniser, ours, peer, pictures, options.rounds, options.slice_s, parts.say),
            )


async def _camera_events(
    settings: Settings, frames: Pictures, options: HttpBenchOptions, scratch: Path, parts: Parts
) -> dict[str, Any]:
    rows: dict[str, Any] = {str(cameras): None for cameras in CAMERAS}
    clips = await parts.run("the cameras' clips", asyncio.to_thread(_clips, options.clip, scratch))
    for cameras in CAMERAS if clips is not None else ():
        assert clips is not None
        parts.say(f"{cameras} cameras at 10 fps for {options.realtime_s:.0f} s, then again with the API at full load")
        spread, folder = clips[:: len(clips) // cameras], scratch / f"cameras{cameras}"
        rows[str(cameras)] = await parts.run(
            f"{cameras} cameras beside the API",
            run_cameras(settings, spread, frames.bodies, options.realtime_s, folder),
        )
    return rows


def _clips(clip: Path, scratch: Path) -> list[Path]:
    starts = [number / max(CAMERAS) for number in range(max(CAMERAS))]
    return [with_gap(clip, scratch / f"camera{start}.mp4", start=start) for start in starts]
