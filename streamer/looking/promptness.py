"""How soon a camera's pictures are looked at: what becomes of each goes in, the last minute's figures come out.

Told of on the loop; what is dropped, on any thread. Rings of a fixed size, and clocks that nobody sets.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamer.steady import steady_s

SECONDS = 60
# Delays that are kept, of one camera: 10 kB. Where more are looked at in a minute, the last ones.
_MOST = 600


@dataclass(frozen=True, slots=True)
class LastMinute:
    """Figures of the last within_s seconds; shorter than a minute only where the camera was opened since.

    p50_ms, p95_ms: from a picture's arrival until its faces were judged; None where none was looked at, or pictures
    have no arrival (`pace: fastest`). dropped: pictures that nobody had time for, or that no model answered.
    last_picture_s: for so long ago the last picture came, opened since or not; None: none came yet.
    """

    within_s: float
    looked_at: int
    dropped: int
    p50_ms: float | None
    p95_ms: float | None
    last_picture_s: float | None


class PerSecond:
    """How often something was in the last minute, the second that has just begun included. On any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = [0] * SECONDS
        self._second = math.floor(clock())

    def add(self) -> None:
        with self._lock:
            self._forward()
            self._counts[self._second % SECONDS] += 1

    def total(self) -> int:
        with self._lock:
            self._forward()
            return sum(self._counts)

    def _forward(self) -> None:
        now = math.floor(self._clock())
        for second in range(max(self._second, now - SECONDS) + 1, now + 1):
            self._counts[second % SECONDS] = 0
        self._second = max(self._second, now)


class Promptness:
    """Of one camera. clock: that of Frame.captured_s; steady: one that goes on while the machine sleeps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, steady: Callable[[], float] = steady_s) -> None:
        self._clock = clock
        self._steady = steady
        self._came_s: float | None = None
        self.opened()

    def opened(self) -> None:
        """Its stream begins. What was before says nothing of it, but for when the last picture came."""
        self._began_s: float | None = None
        self._looked, self._dropped = PerSecond(self._clock), PerSecond(self._clock)
        self._delays = np.full((_MOST, 2), -np.inf)  # when it was looked at, how long that took, in s
        self._next = 0

    def came(self) -> None:
        """A picture was taken, to be looked at or not."""
        self._came_s = self._steady()
        if self._began_s is None:
            self._began_s = self._clock()

    def looked(self, captured_s: float | None) -> None:
        """One was looked at to its end; None: when it came says nothing."""
        self._looked.add()
        if captured_s is not None:
            now_s = self._clock()
            self._delays[self._next] = now_s, max(now_s - captured_s, 0.0)
            self._next = (self._next + 1) % _MOST

    def dropped(self) -> None:
        """One that might have been looked at was not. On any thread."""
        self._dropped.add()

    def last_minute(self) -> LastMinute:
        now_s = self._clock()
        since_s = math.floor(now_s) - SECONDS + 1  # as the counts have it
        delays = self._delays[self._delays[:, 0] >= since_s, 1]
        p50_ms = p95_ms = None
        if len(delays):
            p50_ms, p95_ms = (1000 * np.quantile(delays, (0.5, 0.95), method="inverted_cdf")).tolist()
        return LastMinute(
            within_s=0.0 if self._began_s is None else now_s - max(since_s, self._began_s),
            looked_at=self._looked.total(),
            dropped=self._dropped.total(),
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            last_picture_s=None if self._came_s is None else self._steady() - self._came_s,
        )
