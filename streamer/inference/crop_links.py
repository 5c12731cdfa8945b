"""CropLinks: pictures of faces that are fetched by a link for a while: so many minutes, so many bytes. In memory alone.

Of one event loop. A link can't be guessed; a process knows its own.
"""

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

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def put(self, key: str, jpeg: bytes) -> None:
        """`key`: of new_key()."""
        self._crops[key] = _Crop(self._clock() + self._keep_s, jpeg)
        self._bytes += len(jpeg)
        self._drop()

    def get(self, key: str) -> bytes | None:
        """None where there is none, or none any more."""
        self._drop()
        found = self._crops.get(key)
        return None if found is None else found.jpeg

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
