"""The loop's lag is seen under both event loops, and the arithmetic is right under a clock of ours."""

import asyncio
import time
from itertools import chain, repeat

import pytest
import uvloop

from streamer.telemetry.loop_lag import measure_loop_lag
from streamer.telemetry.metrics import Metrics


def observed(metrics: Metrics) -> tuple[float, float]:
    """Count and sum of the lags so far."""
    value = metrics.registry.get_sample_value
    return value("whosthere_loop_lag_seconds_count"), value("whosthere_loop_lag_seconds_sum")


async def after(metrics: Metrics, count: int) -> None:
    async with asyncio.timeout(10):
        while observed(metrics)[0] < count:
            await asyncio.sleep(0)


async def test_a_sleep_that_took_too_long_is_lag_and_one_that_did_not_is_none():
    metrics = Metrics()
    clock = chain([0.0, 0.75, 1.0, 1.5, 2.0, 2.25], repeat(9.0))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(measure_loop_lag(metrics, 0.0, lambda: next(clock)))
        await after(metrics, 3)
        task.cancel()

    assert observed(metrics)[1] == 0.75 + 0.5 + 0.25


async def test_waking_early_is_no_negative_lag():
    metrics = Metrics()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(measure_loop_lag(metrics, 0.001, lambda: 5.0))
        await after(metrics, 3)
        task.cancel()

    assert observed(metrics)[1] == 0.0


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_call_that_blocks_the_loop_shows(run):
    metrics = Metrics()
    blocked_s = 0.06

    async def block() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(measure_loop_lag(metrics, 0.01))
            await after(metrics, 1)
            time.sleep(blocked_s)
            await after(metrics, 2)
            task.cancel()

    run(block())

    # Whatever the machine does, a loop that was blocked for so long woke a 10 ms sleeper that much too late.
    assert observed(metrics)[1] >= blocked_s - 0.01 - 0.005
