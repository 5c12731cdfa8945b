"""How late the event loop wakes up, into a histogram: what a blocking call on the loop costs everybody.

A task of its own on the loop that it measures.
"""

import asyncio
import time
from collections.abc import Callable

from streamer.telemetry.metrics import Metrics


async def measure_loop_lag(metrics: Metrics, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Sleeps `interval_s` again and again, and observes how much too long each sleep was. Never returns."""
    while True:
        # Not loop.time(): uvloop's is cached for a turn of the loop and counts whole milliseconds.
        due_s = clock() + interval_s
        await asyncio.sleep(interval_s)
        metrics.loop_lag.observe(max(0.0, clock() - due_s))
