"""Tries something again for as long as the world is in the way: a camera or a broker that comes and goes.

Enters a coroutine function, leaves its result. On the loop; the caller names the task that runs it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from recognition.errors import CodedError

T = TypeVar("T")


async def supervise(
    name: str,
    attempt: Callable[[], Awaitable[T]],
    report: Callable[[str, CodedError], None],
    *,
    first_delay_s: float = 0.5,
    longest_delay_s: float = 30.0,
    hopeless_delay_s: float | Callable[[CodedError], float] = 60.0,
    healthy_after_s: float = 30.0,
    attempts: int | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Awaits attempt() until it returns, and returns what it returned.

    Each CodedError goes to report(name, error), once per attempt. A retryable one is followed by a wait drawn
    from [0, delay] (full jitter: cameras that fell together don't come back together), the delay doubling
    from first_delay_s to longest_delay_s; one that is not, by hopeless_delay_s (of that error). An attempt that lasted
    healthy_after_s starts the delays anew. Whatever else is raised, a bug of ours or a cancellation, goes up.

    `attempts`: for what is not worth waiting for for ever. What the last of so many raised goes up, and so does what is
    not retryable.
    """
    delay_s = first_delay_s
    left = attempts
    while True:
        started_s = clock()
        try:
            return await attempt()
        except CodedError as error:
            report(name, error)
            retryable = error.retryable
            hopeless_s = hopeless_delay_s(error) if callable(hopeless_delay_s) else hopeless_delay_s
            left = None if left is None else left - 1
            if left == 0 or (left is not None and not retryable):
                raise
        if clock() - started_s >= healthy_after_s:
            delay_s = first_delay_s
        if retryable:
            await sleep(random.uniform(0, delay_s))
            delay_s = min(delay_s * 2, longest_delay_s)
        else:
            await sleep(hopeless_s)
