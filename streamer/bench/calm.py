"""Rounds of a measurement on a machine that others use as well: the calmest count, and how calm they were is told.

A coroutine function that measures once goes in; its results in the calmest rounds come out. On the benchmark's loop.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

T = TypeVar("T")

CALM_SHARE = 0.05  # of the machine's CPU time, taken by others: no more than what is always going on
PATIENCE = 3  # times as many rounds are tried, at most


@dataclass(frozen=True, slots=True)
class Calmest(Generic[T]):
    """The calmest rounds' results, all rounds' results, and the largest share of the machine's CPU time that others
    took in one of the calmest."""

    results: list[T]
    everything: list[T]
    others_share: float


async def calmest(measure: Callable[[], Awaitable[T]], rounds: int) -> Calmest[T]:
    """Measure until so many rounds were calm, or too often. Raises what `measure` raises."""
    found: list[tuple[float, T]] = []
    while len(found) < PATIENCE * rounds and sum(share <= CALM_SHARE for share, _ in found) < rounds:
        began = _cpu_s()
        result = await measure()
        found.append((others_share(began, _cpu_s()), result))
    best = sorted(found, key=lambda one: one[0])[:rounds]
    return Calmest([result for _, result in best], [result for _, result in found], best[-1][0])


def others_share(began: tuple[float, float, float], ended: tuple[float, float, float]) -> float:
    """From (all, idle, own) CPU seconds to such: what others took of all, a hypervisor's other guests too."""
    everything, idle, own = (late - early for early, late in zip(began, ended, strict=True))
    return min(1.0, max(0.0, (everything - idle - own) / everything)) if everything > 0 else 0.0


def _cpu_s() -> tuple[float, float, float]:
    times = psutil.cpu_times()
    return sum(times), times.idle + getattr(times, "iowait", 0.0), time.process_time()
