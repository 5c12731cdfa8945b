"""Who asks how often: so many requests a second in the long run, and a burst of them. Pure; a clock comes in.

The generic cell rate algorithm (ITU-T I.371): of each there is kept one number, when all of theirs is paid off.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

MOST_KEPT = 4096  # then the one who asked longest ago is forgotten


class Taken(NamedTuple):
    """`wait_s`: 0 where it is let through. `left`: how many more would be now; `full_s`: until a whole burst would."""

    wait_s: float
    left: int
    full_s: float


class Rates:
    """`clock`: steady seconds. `burst`: so many at once are let through, 1 at least."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._each_s = 1.0 / per_s
        self._burst_s = burst / per_s
        self._clock = clock
        self._paid_s: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paid_s)

    def take(self, who: Hashable) -> Taken:
        """One more request of theirs; one that is refused costs nothing."""
        now_s = self._clock()
        owed_s = max(self._paid_s.pop(who, now_s) - now_s, 0.0)
        wait_s = owed_s + self._each_s - self._burst_s
        is_refused = wait_s > 1e-9
        if not is_refused:
            owed_s += self._each_s
        self._paid_s[who] = now_s + owed_s
        if len(self._paid_s) > MOST_KEPT:
            self._paid_s.popitem(last=False)
        left = int((self._burst_s - owed_s) / self._each_s + 1e-6)
        return Taken(wait_s if is_refused else 0.0, left, owed_s)
