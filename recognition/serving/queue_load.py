"""LoadMeter: items that come and items that a runner takes in, what is asked of a queue now out.

Pure: time comes as an argument, in seconds of any clock that only grows. Not for two threads at once: the batcher's
lock guards it. Memory is bounded whatever the load: counts by half-second, never a record of an item.
"""

from bisect import bisect
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

WINDOW_S = 5.0
_SLOT_S = 0.5
_SLOTS = int(WINDOW_S / _SLOT_S)
# A wait counts in the first of these bins that is longer, each a fifth longer than the one before: .05 ms to 100 s.
_BINS_MS = tuple(0.05 * 2 ** (step / 4) for step in range(84))
_MOST_WAIT_LESS = 0.9


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """What is asked of a queue. `faces_per_s`: items that came a second over the last 5 s, those refused as well
    (they were asked for).

    `queue_delay_ms`: how long an item waits for a runner, which nine of ten of the last 5 s did not exceed (to a
    fifth): a mean of the slowest would let one hiccup look like a model that is too slow, a mean of all would hide
    that the last of a crowd come too late. Where an item waits for longer now, its wait: a runner that hangs shows.
    """

    faces_per_s: float
    queue_delay_ms: float


@dataclass(slots=True)
class _Slot:
    """Half a second: its number since the clock's zero, items that came, and waits by bin: how many, ms in all."""

    number: int = -1
    arrived: int = 0
    waits: list[int] = field(default_factory=lambda: [0] * (len(_BINS_MS) + 1))
    waited_ms: list[float] = field(default_factory=lambda: [0.0] * (len(_BINS_MS) + 1))


class LoadMeter:
    """The last 5 s of a queue, in slots of half a second."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)
        self._slot = _Slot()
        self._slot_ends_s = float("-inf")
        self._first_s: float | None = None

    def arrived(self, now_s: float, items: int) -> None:
        """So many items were to be queued, whether there was room or not."""
        if now_s >= self._slot_ends_s:
            self._next_slot(now_s)
        self._slot.arrived += items

    def taken(self, now_s: float, arrived_s: Iterable[float]) -> None:
        """A runner took the items that came at these times."""
        if now_s >= self._slot_ends_s:
            self._next_slot(now_s)
        waits, waited_ms = self._slot.waits, self._slot.waited_ms
        last_s = None
        for since_s in arrived_s:
            if since_s != last_s:  # the faces of one frame came together
                last_s, wait_ms = since_s, (now_s - since_s) * 1000
                place = bisect(_BINS_MS, wait_ms)
            waits[place] += 1
            waited_ms[place] += wait_ms

    def load(self, now_s: float, oldest_wait_s: float) -> QueueLoad:
        """`oldest_wait_s`: how long the item that waits for longest has waited by now, 0 where nothing waits.

        A queue that is younger than 5 s is judged by its age, and by 1 s at least.
        """
        first = int(now_s / _SLOT_S) - _SLOTS + 1
        recent = [slot for slot in self._slots if slot.number >= first]
        age_s = 0.0 if self._first_s is None else now_s - self._first_s
        span_s = max(1.0, min(now_s - first * _SLOT_S, age_s))
        arrived = sum(slot.arrived for slot in recent)
        return QueueLoad(arrived / span_s, max(_long_wait_ms(recent), oldest_wait_s * 1000))

    def _next_slot(self, now_s: float) -> None:
        if self._first_s is None:
            self._first_s = now_s
        self._slot = _Slot(int(now_s / _SLOT_S))
        self._slot_ends_s = (self._slot.number + 1) * _SLOT_S
        self._slots.append(self._slot)


def _long_wait_ms(slots: list[_Slot]) -> float:
    """The mean of the bin that nine of ten waits don't exceed; 0 where nothing was taken."""
    waits: list[int] = [sum(counts) for counts in zip(*(slot.waits for slot in slots), strict=True)]
    left = _MOST_WAIT_LESS * sum(waits)
    for place, count in enumerate(waits):
        left -= count
        if count and left <= 1e-9:
            return sum(slot.waited_ms[place] for slot in slots) / float(count)
    return 0.0
