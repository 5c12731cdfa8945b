"""What was seen in photos that come again: by the photo's digest and the models, for a few minutes. On the loop.

It holds biometric data, so it is bounded by count and by time, never written anywhere, and emptied when anybody is
forgotten: whose photo it is nobody knows.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

KEEP_S = 300.0
T = TypeVar("T")


class EmbeddingCache(Generic[T]):
    """`size` entries at most, 0: none; the one that was asked for the longest ago goes first. `clock` in s."""

    def __init__(self, size: int, keep_s: float = KEEP_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._keep_s = keep_s
        self._clock = clock
        self._entries: OrderedDict[tuple[str, ...], tuple[float, T]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self.era = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: tuple[str, ...]) -> T | None:
        self._expire()
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[1]

    def put(self, key: tuple[str, ...], value: T, era: int | None = None) -> None:
        """An entry is kept for `keep_s` from now on, however often it is asked for. era: as it was when the photo came;
        cleared since, it is not kept.
        """
        if era is not None and era != self.era:
            return
        self._entries[key] = (self._clock() + self._keep_s, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        self._arm()

    def clear(self) -> None:
        """Also of what is under way."""
        self._entries.clear()
        self.era += 1

    def _expire(self) -> None:
        now_s = self._clock()
        for key in [key for key, (until_s, _) in self._entries.items() if until_s <= now_s]:
            del self._entries[key]

    def _arm(self) -> None:
        """Nothing outlives its time because nobody asks."""
        if self._timer is None and self._entries:
            self._timer = asyncio.get_running_loop().call_later(self._keep_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._expire()
        self._arm()
