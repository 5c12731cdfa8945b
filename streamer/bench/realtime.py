"""Event latency, frames dropped and the loop's lag, with 1, 4 and 8 cameras in real time at 10 fps.

A clip goes in, played as that many cameras of one service that publishes to a real broker (amqtt, in a process of
its own); latencies are taken where a subscriber gets the message. Runs on the loop of the benchmark.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.app import Service, running_service
from streamer.bench.processes import broker_process
from streamer.events import IdentityEvent
from streamer.settings import CameraSettings, Settings
from streamer.tail import follow

FPS = 10.0
LAG_INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True)
class RealtimeRun:
    """Latency percentiles in ms over `events` (new and update); share of sampled frames dropped; loop lag p99."""

    cameras: int
    events: int
    p50: float
    p95: float
    p99: float
    dropped_share: float
    loop_lag_p99_ms: float


async def run_realtime(settings: Settings, clip: Path, cameras: int, seconds: float, folder: Path) -> RealtimeRun:
    """Play the clip as so many cameras for so long."""
    latencies_ms: list[float] = []

    def heard(event: IdentityEvent) -> None:
        if event.type != "end":
            latencies_ms.append((time.time() - event.captured_at) * 1000.0)

    camera = CameraSettings(url=str(clip), fps=FPS, loop=True)
    async with broker_process() as port:
        settings = settings.model_copy(
            update={
                "paths": settings.paths.model_copy(update={"data": folder}),
                "cameras": {f"cam{number}": camera for number in range(cameras)},
                "mqtt": settings.mqtt.model_copy(update={"host": "127.0.0.1", "port": port}),
                "http": settings.http.model_copy(update={"enabled": False}),
                "events": settings.events.model_copy(update={"gone_after_s": 0.5}),
            }
        )
        async with running_service(settings) as service:
            listening = asyncio.create_task(follow(settings.mqtt, on_event=heard), name="bench events")
            try:
                lags_ms = await _lags(seconds)
            finally:
                listening.cancel()
                await asyncio.wait([listening])
        p50, p95, p99 = np.percentile(latencies_ms, [50, 95, 99]) if latencies_ms else (0.0, 0.0, 0.0)
        return RealtimeRun(
            cameras=cameras,
            events=len(latencies_ms),
            p50=float(p50),
            p95=float(p95),
            p99=float(p99),
            dropped_share=_dropped_share(service),
            loop_lag_p99_ms=float(np.percentile(lags_ms, 99)),
        )


async def _lags(seconds: float) -> list[float]:
    """How late the loop woke this task up, in ms, every 10 ms for so long."""
    lags_ms: list[float] = []
    ends_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < ends_s:
        await asyncio.sleep(LAG_INTERVAL_S)
        lags_ms.append((time.monotonic() - now_s - LAG_INTERVAL_S) * 1000.0)
    return lags_ms


def _dropped_share(service: Service) -> float:
    counts = {"processed": 0.0, "dropped": 0.0}
    for family in service.metrics.frames.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels["outcome"] in counts:
                counts[sample.labels["outcome"]] += sample.value
    total = sum(counts.values())
    return counts["dropped"] / total if total else 0.0
