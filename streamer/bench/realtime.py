"""Event latency, frames dropped and the loop's lag, with 1, 4 and 8 cameras in real time at 10 fps.

A clip goes in, played as that many cameras of one service that publishes to a real broker (amqtt, in a process of
its own); latencies are taken where a subscriber gets the message. Runs on the loop of the benchmark.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.app import Service, running_service
from streamer.bench.processes import broker_process
from streamer.events.event import IdentityEvent
from streamer.mqtt.subscriber import follow
from streamer.settings import CameraSettings, HttpSettings, Settings

FPS = 10.0
LAG_INTERVAL_S = 0.01
NO_EVENT = "no event was heard, so there is no latency to tell; choose a clip with faces"
WARM_UP_S = 4.0  # all cameras open at once, with everybody in view: a start, and no load to be measured
GONE_AFTER_S = 0.5  # well under the black second at the end of each lap


@dataclass(frozen=True, slots=True)
class RealtimeRun:
    """Latency percentiles in ms over `events` (new and update; None without any); share of sampled frames dropped; loop
    lag p99.

    told_late: visits too short to be settled while they lasted, told with their end; their wait is `gone_after_s`
    by design, and they are not among the events.
    """

    cameras: int
    events: int
    told_late: int
    p50: float | None
    p95: float | None
    p99: float | None
    dropped_share: float
    loop_lag_p99_ms: float


async def run_realtime(
    settings: Settings,
    clips: list[Path],
    seconds: float,
    folder: Path,
    beside: Callable[[Service], AbstractAsyncContextManager[None]] | None = None,
) -> RealtimeRun:
    """Play each clip as one camera for so long. beside: what goes on all the while, over HTTP; None: there is none."""
    async with broker_process() as port:
        settings = settings.apart_in(
            folder,
            cameras={
                f"cam{number}": CameraSettings(url=str(clip), fps=FPS, loop=True) for number, clip in enumerate(clips)
            },
            mqtt=settings.mqtt.model_copy(update={"host": "127.0.0.1", "port": port, "version": "3.1.1"}),
            http=HttpSettings(enabled=beside is not None, port=0),
            events=settings.events.model_copy(update={"gone_after_s": GONE_AFTER_S}),
        )
        async with running_service(settings) as service, nullcontext() if beside is None else beside(service):
            heard = _Heard()
            listening = asyncio.create_task(follow(settings.mqtt, on_event=heard.event), name="bench events")
            try:
                await asyncio.sleep(WARM_UP_S)
                lags_ms = await _lags(seconds)
                if listening.done():
                    await listening
            finally:
                listening.cancel()
                await asyncio.wait([listening])
        latencies_ms = list(heard.latencies_ms.values())
        p50, p95, p99 = np.percentile(latencies_ms, [50, 95, 99]).tolist() if latencies_ms else (None, None, None)
        return RealtimeRun(
            cameras=len(clips),
            events=len(latencies_ms),
            told_late=heard.told_late,
            p50=p50,
            p95=p95,
            p99=p99,
            dropped_share=_dropped_share(service),
            loop_lag_p99_ms=float(np.percentile(lags_ms, 99)),
        )


class _Heard:
    """What a subscriber heard: the latency of each new and update, by visit and seq."""

    def __init__(self) -> None:
        self.latencies_ms: dict[tuple[str, int], float] = {}
        self.told_late = 0
        self._began_at: dict[str, float] = {}
        self._warm_at = time.time() + WARM_UP_S

    def event(self, event: IdentityEvent) -> None:
        if event.first_seen_at < self._warm_at:
            return
        published_at = event.published_at or 0.0
        if event.type != "end":
            self.latencies_ms[event.event_id, event.seq] = (time.time() - event.captured_at) * 1000.0
            self._began_at.setdefault(event.event_id, published_at)
        elif published_at - self._began_at.get(event.event_id, 0.0) < GONE_AFTER_S / 2:
            self.told_late += 1
            del self.latencies_ms[event.event_id, 1]


async def _lags(seconds: float) -> list[float]:
    """How late the loop woke this task up, in ms, every 10 ms for so long."""
    lags_ms: list[float] = []
    ends_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < ends_s:
        await asyncio.sleep(LAG_INTERVAL_S)
        lags_ms.append((time.monotonic() - now_s - LAG_INTERVAL_S) * 1000.0)
    return lags_ms


def _dropped_share(service: Service) -> float:
    counts = {"processed": 0.0, "dropped": 0.0, "shed": 0.0, "skipped": 0.0}
    for family in service.metrics.frames.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels["outcome"] in counts:
                counts[sample.labels["outcome"]] += sample.value
    total = sum(counts.values())
    return (total - counts["processed"]) / total if total else 0.0
