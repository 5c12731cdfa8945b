"""Failed logins are counted: ten a minute for one address and one secret, and then a wait. Pure; a clock comes in."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

LIMIT = 10
WINDOW_S = 60.0
MOST_KEPT = 4096  # of those who failed; then the one who failed longest ago is forgotten


class FailedAttempts:
    """Who failed how often since when (steady seconds)."""

    def __init__(self, clock: Callable[[], float], limit: int = LIMIT, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._failed: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failed)

    def wait_s(self, who: Hashable) -> float:
        """For how long no attempt of theirs is looked at; 0: it is."""
        since_s, count = self._failed.get(who, (0.0, 0))
        left_s = since_s + self._window_s - self._clock()
        return left_s if count >= self._limit and left_s > 0 else 0.0

    def add(self, who: Hashable) -> bool:
        """One more; whether this was the last one that is looked at."""
        now_s = self._clock()
        since_s, count = self._failed.pop(who, (now_s, 0))
        if now_s >= since_s + self._window_s:
            since_s, count = now_s, 0
        self._failed[who] = since_s, count + 1
        if len(self._failed) > MOST_KEPT:
            self._failed.popitem(last=False)
        return count + 1 == self._limit
