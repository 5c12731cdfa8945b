"""How late camera events are while the API is at full load, beside the same cameras without.

A clip a camera goes in, percentiles come out. On the benchmark's loop; the clients are a process of their own.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamer.app import Service
from streamer.bench.api.embeddings import PATH
from streamer.bench.api.load import Body, Place, full_load
from streamer.bench.api.load_process import Answered
from streamer.bench.api.operator_token import token_of
from streamer.bench.api.pictures import A_REQUEST
from streamer.bench.realtime import RealtimeRun, run_realtime
from streamer.settings import Settings

GOAL = 1.5


async def run_cameras(
    settings: Settings, clips: list[Path], bodies: Sequence[Body], seconds: float, folder: Path
) -> dict[str, Any]:
    """Without, then with, each in a service of its own in `folder`. Raises BenchFailed."""
    told: list[Answered] = []

    @asynccontextmanager
    async def loaded(service: Service) -> AsyncIterator[None]:
        async with full_load(Place(service.http_port, PATH, await token_of(service)), bodies, told):
            yield

    alone = await run_realtime(settings, clips, seconds, folder / "alone")
    beside = await run_realtime(settings, clips, seconds, folder / "beside", loaded)
    (api,) = told
    return {
        "without": _percentiles(alone),
        "with": _percentiles(beside),
        "p95_ratio": round(beside.p95 / alone.p95, 2) if alone.p95 and beside.p95 else None,
        "goal": GOAL,
        "api_images_per_s": round(A_REQUEST * api.requests / api.seconds, 1),
        "api_refused": api.refused,
    }


def _percentiles(run: RealtimeRun) -> dict[str, Any]:
    return {key: None if value is None else round(value, 4) for key, value in asdict(run).items() if key != "cameras"}
