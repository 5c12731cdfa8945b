"""CropLinks: pictures of faces that are fetched by a link for a while: so many minutes, so many bytes. In memory alone.

Of one event loop. A link can't be guessed; a process knows its own. They are faces: nothing outlives its time because
nobody asks, and all go when anybody is forgotten, whose they are nobody knows.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

MOST_BYTES = 64 << 20


class _Crop(NamedTuple):
    until_s: float
    jpeg: bytes


class CropLinks:
    """When there is no room the oldest goes."""

    def __init__(
        self, keep_s: float, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._crops: OrderedDict[str, _Crop] = OrderedDict()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.era = 0

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def put(self, key: str, jpeg: bytes, era: int | None = None) -> None:
        """`key`: of new_key(). era: as it was when the picture came; cleared since, it is not kept."""
        if era is not None and era != self.era:
            return
        self._crops[key] = _Crop(self._clock() + self._keep_s, jpeg)
        self._bytes += len(jpeg)
        self._drop()
        self._arm()

    def get(self, key: str) -> bytes | None:
        """None where there is none, or none any more."""
        self._drop()
        found = self._crops.get(key)
        return None if found is None else found.jpeg

    def clear(self) -> None:
        """Also of what is under way."""
        self._crops.clear()
        self._bytes = 0
        self.era += 1

    def _arm(self) -> None:
        if self._timer is None and self._crops:
            wait_s = max(next(iter(self._crops.values())).until_s - self._clock(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._drop()
        self._arm()

    def _drop(self) -> None:
        now_s = self._clock()
        while self._crops:
            oldest = next(iter(self._crops.values()))
            if oldest.until_s > now_s and self._bytes <= self._most_bytes:
                return
            self._bytes -= len(self._crops.popitem(last=False)[1].jpeg)


def new_key() -> str:
    """One that nobody guesses: 128 random bits, for a URL as they are."""
    return secrets.token_urlsafe(16)
